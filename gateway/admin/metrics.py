"""`/metrics`: the registry in Prometheus' text form, with what the node as a whole shows.

Names and units follow its conventions. No name, session or address is a label: a peer could make many.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from actors.telemetry import PREFIX, TOTAL, Sample
from gateway.admin.rows import NodeRow

CONTENT_TYPE = CONTENT_TYPE_LATEST


def exposition(node: NodeRow, samples: Iterable[Sample]) -> bytes:
    """The text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(node, list(samples)))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


class _Figures:
    """A collector, as prometheus_client calls it, for one scrape."""

    def __init__(self, node: NodeRow, samples: list[Sample]) -> None:
        self._node, self._samples = node, samples

    def collect(self) -> Iterator[Metric]:
        yield from _of_node(self._node)
        family: CounterMetricFamily | GaugeMetricFamily | None = None
        for sample in self._samples:
            name = sample.name.removesuffix(TOTAL)
            if family is None or family.name != name:
                if family is not None:
                    yield family
                kind = CounterMetricFamily if sample.grows else GaugeMetricFamily
                family = kind(name, sample.help, labels=[label for label, _ in sample.labels])
            family.add_metric([value for _, value in sample.labels], sample.value)
        if family is not None:
            yield family


def _gauge(what: str, help: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{what}", help, value=value)


def _of_node(node: NodeRow) -> Iterator[Metric]:
    info = GaugeMetricFamily(f"{PREFIX}_build_info", "1, with the version as label.", labels=["version"])
    info.add_metric([node.version], 1)
    yield info
    yield _gauge("node_serving", "Whether the node takes calls.", node.state == "serving")
    yield _gauge("node_connections", "Open connections.", node.connections)
    yield _gauge("node_peers", "Nodes joined with this one.", node.peers)
    yield _gauge("loop_lag_seconds", "Latest that the loop was in the last minute.", node.loop_lag)
    yield _gauge("loop_slowest_turn_seconds", "Longest turn of actors in the last minute.", node.slowest_turn)
    yield _gauge("loop_mailbox_messages", "Messages that wait in all mailboxes.", node.mailboxes)
    if node.backbone is not None:
        yield _gauge(
            "backbone_up", "Whether a server of the backbone is connected.", node.backbone.state == "up"
        )
    if node.controllers:
        up = sum(one.state == "up" for one in node.controllers)
        yield _gauge("controllers_up", "Controllers at which the node is registered.", up)
    if node.certificates:
        yield _gauge(
            "certificate_expiry_timestamp_seconds",
            "When the first of the node's certificates ends.",
            node.certificates[0].ends,
        )
    bounds = GaugeMetricFamily(f"{PREFIX}_limit_bound", "Bounds of the node.", labels=["limit"])
    used = GaugeMetricFamily(f"{PREFIX}_limit_used", "How much of a bound is taken.", labels=["limit"])
    refused = CounterMetricFamily(f"{PREFIX}_limit_refused", "How often a bound refused.", labels=["limit"])
    for limit in node.limits:
        label = [limit.limit.replace(" ", "_")]
        if limit.bound is not None:
            bounds.add_metric(label, limit.bound)
        if limit.used is not None:
            used.add_metric(label, limit.used)
        refused.add_metric(label, limit.refused)
    yield from (bounds, used, refused)
