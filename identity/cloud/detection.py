"""Which cloud is this? (`identity.md` 8.3)

1. Fast: each client looks at environment and files, in the given order; the first that recognises wins.
2. Full: all clients ask their metadata services at the same time; the first success wins, the others are
   cancelled. When all have failed, the error comes at once, with one line per client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from identity.cloud.aws import AWSClient
from identity.cloud.azure import AzureClient
from identity.cloud.environment import log_to
from identity.cloud.errors import CloudProviderNotFound, UnusableCredentials
from identity.cloud.gcp import GCPClient
from identity.cloud.models import CloudProviderClient, Logger
from identity.errors import ConfigError

DETECT_PROVIDER_DEFAULT_TIMEOUT = 10.0
"""As the published package has it: seconds for a token, the detection included."""
DETECTION = 5.0
"""Seconds for the detection alone."""
NOT_FOUND = "no cloud provider was recognised"


async def detect_provider(
    timeout: float = DETECTION,
    logger: Logger | None = None,
    clients: Sequence[CloudProviderClient] | None = None,
) -> CloudProviderClient:
    """The client of the cloud that this process runs in, found within `timeout` seconds.

    `clients` replaces the three of this package and their order. Raises CloudProviderNotFound.
    """
    candidates = (AWSClient(logger), GCPClient(logger), AzureClient(logger)) if clients is None else clients
    for client in candidates:
        try:
            await client.fast_detect()
        except Exception as exc:  # clients of others may raise anything to say no
            log_to(logger)(f"{client.get_type().value}: not recognised by its environment: {exc}")
        else:
            return client
    return await _first_detected(candidates, timeout, logger)


async def _first_detected(
    candidates: Sequence[CloudProviderClient], timeout: float, logger: Logger | None
) -> CloudProviderClient:
    tasks = {asyncio.create_task(client.detect()): client.get_type().value for client in candidates}
    reasons = dict.fromkeys(tasks.values(), f"no answer within {timeout:g} s")
    misconfigured: ConfigError | None = None
    waiting = set(tasks)
    try:
        async with asyncio.timeout(timeout):
            while waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task, client in zip(tasks, candidates, strict=True):
                    if task not in done:
                        continue
                    if (problem := _problem(task)) is None:
                        return client
                    reasons[tasks[task]] = str(problem)
                    if isinstance(problem, ConfigError):
                        misconfigured = misconfigured or problem
                    log_to(logger)(f"{tasks[task]}: not recognised: {problem}")
    except TimeoutError:
        pass
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if misconfigured is not None:
        raise UnusableCredentials(NOT_FOUND, field=misconfigured.field, reasons=reasons)
    raise CloudProviderNotFound(NOT_FOUND, reasons=reasons)


def _problem(task: asyncio.Task[None]) -> BaseException | str | None:
    return "cancelled" if task.cancelled() else task.exception()
