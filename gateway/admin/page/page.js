// The page of a node: what its admin port says, as tables and small charts. It keeps nothing and changes nothing.
//
//     /api/v1/events ──► the last two minutes ──► charts         /api/v1/<list> ──► a table, asked again while it is seen
//
// Whatever a peer chose (names, addresses, causes) gets into the page as text, never as markup.

const API = "/api/v1";
const SECONDS = 120; // of charts
const AGAIN = 3000; // milliseconds until what is seen is asked for again
const ROWS = 50;
const PAGES = 1000; // pages back that are remembered

// -- How values are written --------------------------------------------------------------------------------

const count = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const number = (value) => (value >= 1e6 ? compact.format(value) : count.format(value));
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

function duration(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  const whole = Math.floor(seconds);
  const parts = [
    [Math.floor(whole / 86400), "d"],
    [Math.floor(whole / 3600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "min"],
    [whole % 60, "s"],
  ];
  const first = parts.findIndex(([amount]) => amount > 0);
  return parts.slice(first < 0 ? 3 : first).slice(0, 2).map(([amount, unit]) => `${amount} ${unit}`).join(" ");
}

const age = (since) => (since > 0 ? duration(Math.max(0, Date.now() / 1000 - since)) : "");
const words = (value) => (value === null || value === undefined ? "" : String(value));
const name = (row) => (row.id ? `${row.name}/${row.id}` : row.name);

// -- Elements ----------------------------------------------------------------------------------------------

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

const byId = (id) => document.getElementById(id);
const badge = (text, good) =>
  make("span", { class: `badge ${good === null ? "" : good ? "good" : "bad"}` }, text);

// -- Asking ------------------------------------------------------------------------------------------------

class Refused extends Error {}

async function ask(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value !== null);
  const search = given.length ? `?${new URLSearchParams(given)}` : "";
  let answer;
  try {
    answer = await fetch(API + path + search, { headers: { Accept: "application/json" } });
  } catch {
    throw new Refused("The node does not answer. This page goes on as soon as it does.");
  }
  if (answer.ok) return answer.json();
  if (answer.status === 401) {
    throw new Refused(
      "This node wants to know who you are. On its machine run: callboard admin link, and open what it prints."
    );
  }
  const said = await answer.json().catch(() => ({}));
  throw new Refused(said.error || `The node answered ${answer.status}.`);
}

function notice(text) {
  const place = byId("notice");
  if (place.textContent !== text) place.textContent = text;
  place.hidden = text === "";
}

// -- Charts ------------------------------------------------------------------------------------------------

const history = []; // rates, one a second

const CHARTS = [
  { title: "Messages a second", first: ["in", "frames_in"], second: ["out", "frames_out"], as: number },
  { title: "Bytes a second", first: ["in", "bytes_in"], second: ["out", "bytes_out"], as: bytes },
  { title: "Not delivered a second", first: ["no route", "unrouted"], second: ["slow receiver", "dropped"], as: number },
  { title: "Connections and names", first: ["connections", "connections"], second: ["names", "names"], as: number },
];

function line(key, scale, kind) {
  const first = SECONDS - history.length;
  const points = history.map((rates, at) => `${first + at},${(100 - (100 * rates[key]) / scale).toFixed(1)}`);
  return draw("polyline", { class: kind, points: points.join(" ") });
}

function chart({ title, first, second, as }) {
  const shown = [first, second];
  const last = history.at(-1) || {};
  const highest = Math.max(0, ...history.flatMap((rates) => shown.map(([, key]) => rates[key])));
  const scale = (highest || 1) * 1.05;
  const legend = make("div", { class: "legend" });
  shown.forEach(([label, key], at) => {
    legend.append(make("span", { class: at ? "second" : "first" }, `${label} ${as(last[key] || 0)}`));
  });
  const picture = draw(
    "svg",
    { class: "chart", viewBox: `0 0 ${SECONDS - 1} 100`, preserveAspectRatio: "none", "aria-hidden": "true" },
    draw("line", { x1: 0, x2: SECONDS - 1, y1: 100, y2: 100 })
  );
  if (history.length) {
    // The second one below: where both are equal the first is seen.
    picture.append(line(second[1], scale, "second"), line(first[1], scale, "first"));
  }
  const top = make("span", { class: "scale" }, `top ${as(highest)}`);
  return make("section", { class: "card" }, make("h3", {}, title, top), legend, picture);
}

// -- Tables ------------------------------------------------------------------------------------------------

// What is used beside what may be, where there is a limit.
const beside = (used, bound, as) => (bound === null ? used : `${used} of ${as(bound)}`);
const near = (used, bound) => bound !== null && used >= 0.9 * bound;

// A column: what it is called, how its text is made of a row, and what it is (number, name, rare: not on narrow ones).
const LISTS = {
  peers: {
    title: "Nodes",
    empty: "This node is joined with no other.",
    columns: [
      ["Node", (row) => row.node || "not known yet", "name"],
      ["State", (row) => row.state],
      ["Endpoint", (row) => row.endpoint, "name"],
      ["Connection", (row) => words(row.connection), "number"],
      ["In/s", (row) => number(Math.round(row.messages_per_second)), "number"],
      ["Bytes in/s", (row) => bytes(row.bytes_per_second), "number"],
      ["Losses", (row) => number(row.losses), "number"],
      ["Cause", (row) => row.cause, "name"],
    ],
  },
  connections: {
    title: "Connections",
    empty: "Nobody is connected.",
    columns: [
      ["No.", (row) => String(row.connection), "number"],
      ["Kind", (row) => (row.kind === "edge" && row.role !== "unknown" ? row.role : row.kind)],
      ["From", (row) => row.peer],
      ["Identity or node", (row) => row.identity || row.node, "name"],
      ["Since", (row) => age(row.since), "number"],
      ["Names", (row) => number(row.names), "number"],
      ["In", (row) => number(row.frames_in), "number"],
      ["Out", (row) => number(row.frames_out), "number"],
      ["In/s", (row) => beside(number(Math.round(row.messages_per_second)), row.messages_bound, number), "number", (row) => near(row.messages_per_second, row.messages_bound)],
      ["Bytes in/s", (row) => beside(bytes(row.bytes_per_second), row.bytes_bound, bytes), "number", (row) => near(row.bytes_per_second, row.bytes_bound)],
      ["Bytes in", (row) => bytes(row.bytes_in), "number rare"],
      ["Bytes out", (row) => bytes(row.bytes_out), "number rare"],
      ["Waiting", (row) => bytes(row.backlog), "number", (row) => row.congested],
      ["Dropped", (row) => number(row.dropped), "number", (row) => row.dropped > 0],
      ["No route", (row) => number(row.unrouted), "number"],
      ["Malformed", (row) => number(row.malformed), "number rare", (row) => row.malformed > 0],
      ["Version", (row) => row.version, "rare"],
    ],
  },
  applications: {
    title: "Applications",
    empty: "No application has a name here.",
    columns: [
      ["Name", name, "name mono"],
      ["Connection", (row) => String(row.connection), "number"],
      ["From", (row) => (row.where === "here" ? "this process" : row.peer)],
    ],
  },
  groups: {
    title: "Groups",
    empty: "No name is subscribed by several.",
    columns: [
      ["Name", (row) => row.name, "name mono"],
      ["At this node", (row) => number(row.members), "number"],
      ["Other nodes", (row) => number(row.peers), "number"],
      ["Led by", (row) => row.moderator, "name mono"],
      ["Members", (row) => words(row.group_members), "number"],
      ["Epoch", (row) => words(row.epoch), "number"],
      ["Not acknowledged", (row) => words(row.unacknowledged), "number"],
      ["Sent again", (row) => words(row.retransmissions), "number rare"],
      ["Lag", (row) => words(row.lag), "number"],
    ],
  },
  sessions: {
    title: "Sessions",
    empty: "No application of this process has a session.",
    columns: [
      ["Application", (row) => row.application, "name mono"],
      ["Kind", (row) => row.kind],
      ["With", (row) => row.destination, "name mono"],
      ["Members", (row) => number(row.members), "number"],
      ["Epoch", (row) => words(row.epoch), "number"],
      ["Not acknowledged", (row) => number(row.figures.unacknowledged || 0), "number"],
      ["Sent again", (row) => number(row.figures.retransmissions || 0), "number rare"],
      ["Lag", (row) => number(row.figures.lag || 0), "number"],
      ["Session", (row) => String(row.session), "number rare"],
    ],
  },
  routes: {
    title: "Routes",
    empty: "No name leads anywhere.",
    columns: [
      ["Name", name, "name mono"],
      ["Connection", (row) => String(row.connection), "number"],
      ["Asked", (row) => row.rank],
      ["Subscriptions", (row) => number(row.subscriptions), "number"],
    ],
  },
  queues: {
    title: "Queues",
    empty: "Nothing waits, and nothing was dropped.",
    columns: [
      ["Queue", (row) => row.queue],
      ["Of", (row) => row.owner, "name"],
      ["Holds", (row) => amount(row, row.depth), "number"],
      ["At most", (row) => (row.bound ? amount(row, row.bound) : ""), "number"],
      ["Dropped", (row) => number(row.dropped), "number", (row) => row.dropped > 0],
    ],
  },
  actors: {
    title: "Actors",
    empty: "There are none.",
    columns: [
      ["Actor", (row) => row.name || row.address, "name"],
      ["Kind", (row) => row.kind],
      ["State", (row) => row.state],
      ["Waiting", (row) => number(row.depth), "number"],
      ["Handled", (row) => number(row.handled), "number"],
      ["Slowest turn", (row) => `${(row.slowest_turn * 1000).toFixed(1)} ms`, "number", (row) => row.slowest_turn > 0.05],
      ["Failures", (row) => number(row.failures), "number", (row) => row.failures > 0],
      ["Restarts", (row) => number(row.restarts), "number rare"],
    ],
  },
};

const inBytes = (row) => row.unit === "bytes" || /bytes$/.test(row.limit);
const amount = (row, value, none) => (value === null ? none : inBytes(row) ? bytes(value) : number(value));

function table(list, rows) {
  if (!rows.length) return make("div", { class: "scroll" }, make("div", { class: "empty" }, list.empty));
  const head = make("tr", {}, ...list.columns.map(([label, , kind]) => make("th", { scope: "col", class: kind || null }, label)));
  const body = rows.map((row) =>
    make(
      "tr",
      {},
      ...list.columns.map(([, text, kind, warns]) =>
        make("td", { class: `${kind || ""}${warns && warns(row) ? " warn" : ""}` }, text(row))
      )
    )
  );
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": list.title }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...body)));
}

// -- Views -------------------------------------------------------------------------------------------------

class Overview {
  constructor(main) {
    this.charts = make("div", { class: "charts" });
    this.tiles = make("div", { class: "tiles" });
    this.more = make("div");
    main.append(this.charts, this.tiles, this.more);
    this.rates();
  }

  rates() {
    this.charts.replaceChildren(...CHARTS.map(chart));
  }

  async refresh() {
    const [node, peers] = await Promise.all([ask("/node"), ask("/peers", { limit: ROWS })]);
    greet(node);
    const tiles = [
      ["Connections", number(node.connections), `${number(node.accepted)} called us`],
      ["Names", number(node.names), "in the subscription table"],
      ["Actors", number(node.actors), `${number(node.failures)} failures`],
      ["Mailboxes", number(node.mailboxes), "messages wait"],
      ["On the way out", bytes(node.waiting_bytes), `of ${bytes(node.waiting_bound)}`],
      ["Memory", node.memory ? bytes(node.memory) : "not known", "of the process"],
      ["Loop late by", duration(node.loop_lag), "at most in the last minute"],
      ["Descriptors", number(node.descriptors), `of ${number(node.descriptors_bound)}`],
    ];
    this.tiles.replaceChildren(
      ...tiles.map(([title, figure, beside]) =>
        make(
          "section",
          { class: "card" },
          make("h3", {}, title),
          make("div", { class: "figure" }, figure),
          make("div", { class: "beside" }, beside)
        )
      )
    );
    const parts = [heading("Nodes joined with this one"), table(LISTS.peers, peers.items)];
    const links = [...(node.backbone ? [["Backbone", node.backbone.url, node.backbone.state]] : [])];
    for (const one of node.controllers) links.push(["Controller", one.endpoint, one.state]);
    if (links.length) {
      const columns = [["What", (row) => row[0]], ["Endpoint", (row) => row[1], "name"], ["State", (row) => row[2], "", (row) => row[2] === "down"]];
      parts.push(heading("Backbone and controllers"), table({ title: "Links", columns }, links));
    }
    const columns = [
      ["Limit", (row) => row.limit, "name"],
      ["Used", (row) => amount(row, row.used, ""), "number"],
      ["At most", (row) => amount(row, row.bound, "no limit"), "number"],
      ["Refused", (row) => number(row.refused), "number", (row) => row.refused > 0],
    ];
    parts.push(heading("Limits"), table({ title: "Limits", columns, empty: "None." }, node.limits));
    if (node.certificates.length) {
      const columns = [
        ["Certificate", (row) => row.name, "name"],
        ["Key", (row) => row.where, "name rare"],
        ["Ends", (row) => new Date(1000 * row.ends).toISOString().slice(0, 10)],
        ["Days left", (row) => number(Math.max(0, Math.floor(row.days))), "number", (row) => row.problem !== ""],
        ["State", (row) => (row.days < 0 ? "has expired" : row.problem ? "ends soon" : "good"), "", (row) => row.problem !== ""],
      ];
      parts.push(heading("Certificates"), table({ title: "Certificates", columns }, node.certificates));
    }
    this.more.replaceChildren(...parts);
  }
}

const heading = (text) => make("h2", {}, text);

class List {
  constructor(main, what) {
    this.what = what;
    this.cursors = [""]; // of the pages up to the one that is seen
    this.after = null;
    this.search = make("input", { type: "search", name: "name", autocomplete: "off", spellcheck: "false", placeholder: "org/ns/app" });
    this.place = make("div");
    this.back = make("button", { type: "button" }, "Back");
    this.next = make("button", { type: "button" }, "More");
    this.where = make("span", { class: "quiet" });
    this.note = make("p", { class: "quiet" });
    const form = make("form", { role: "search" }, make("label", {}, "Begins with", this.search));
    form.addEventListener("submit", (event) => event.preventDefault());
    this.search.addEventListener("input", () => this.go([""]));
    this.back.addEventListener("click", () => this.go(this.cursors.slice(0, -1)));
    this.next.addEventListener("click", () => this.go([...this.cursors, this.after].slice(-PAGES)));
    this.pager = make("div", { class: "pager", hidden: true }, this.back, this.next, this.where);
    main.append(form, this.place, this.pager, this.note);
  }

  go(cursors) {
    this.cursors = cursors;
    refresh();
  }

  async refresh() {
    const asked = { limit: ROWS, cursor: this.cursors.at(-1), name: this.search.value.trim() };
    const page = await ask(`/${this.what}`, asked);
    if (asked.cursor !== this.cursors.at(-1) || asked.name !== this.search.value.trim()) return;
    this.after = page.next;
    this.place.replaceChildren(table(LISTS[this.what], page.items));
    this.back.disabled = this.cursors.length === 1;
    this.next.disabled = !page.next;
    this.pager.hidden = this.cursors.length === 1 && !page.next;
    this.where.textContent = `page ${this.cursors.length}, ${page.items.length} shown`;
    this.note.textContent = page.note || "";
  }
}

class Explain {
  constructor(main, asked) {
    const field = (label, key) => {
      const input = make("input", { name: key, required: true, autocomplete: "off", spellcheck: "false", placeholder: "org/ns/app", value: asked.get(key) || "" });
      return make("label", {}, label, input);
    };
    const form = make("form", {}, field("From", "from"), field("To", "to"), make("button", {}, "Explain"));
    this.asked = { from: asked.get("from") || "", to: asked.get("to") || "" };
    this.place = make("div", { "aria-live": "polite" });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const said = new FormData(form);
      const wanted = `#explain?${new URLSearchParams(said)}`;
      if (location.hash === wanted) refresh();
      else location.hash = wanted;
    });
    main.append(
      make("p", { class: "quiet" }, "Why a message from one name reaches another, or which step is the first that is missing."),
      form,
      this.place
    );
  }

  async refresh() {
    if (!this.asked.from || !this.asked.to) return;
    let found;
    try {
      found = await ask("/explain", this.asked);
    } catch (error) {
      this.place.replaceChildren();
      throw error;
    }
    const missing = found.steps.some((step) => step.state === "missing");
    const doubt = found.steps.some((step) => step.state === "unknown");
    const walk = found.steps.map((step) =>
      make(
        "li",
        {},
        badge(step.state, step.state === "unknown" ? null : step.state === "holds"),
        make("span", {}, `${step.text} `, make("span", { class: "quiet" }, step.node ? `(${step.node})` : ""))
      )
    );
    const asked = [found.facts, ...found.others].map((one) => one.label || one.node).join(", ");
    const unasked = found.unasked.map((one) => one.node || one.endpoint).join(", ");
    this.place.replaceChildren(
      make("p", { class: `verdict ${missing ? "bad" : doubt ? "" : "good"}` }, found.verdict),
      make("ol", { class: "walk" }, ...walk),
      make("p", { class: "quiet" }, `Asked: ${asked}.${unasked ? ` No answer from ${unasked}.` : ""}`)
    );
  }
}

const VIEWS = [
  ["overview", "Overview", (main) => new Overview(main)],
  ["peers", "Nodes", (main) => new List(main, "peers")],
  ["connections", "Connections", (main) => new List(main, "connections")],
  ["applications", "Applications", (main) => new List(main, "applications")],
  ["groups", "Groups", (main) => new List(main, "groups")],
  ["sessions", "Sessions", (main) => new List(main, "sessions")],
  ["routes", "Routes", (main) => new List(main, "routes")],
  ["queues", "Queues", (main) => new List(main, "queues")],
  ["actors", "Actors", (main) => new List(main, "actors")],
  ["explain", "Explain", (main, asked) => new Explain(main, asked)],
];

// -- The page ----------------------------------------------------------------------------------------------

let view = null;
let asking = false;
let askAgain = false;

function greet(node) {
  const serves = node.state === "serving";
  const state = byId("state");
  state.textContent = node.state;
  state.className = `badge ${serves ? "good" : "bad"}`;
  byId("node").textContent = node.node;
  byId("about").textContent = `callboard ${node.version}, up ${duration(node.uptime)}, listening on ${node.listeners.join(", ") || "nothing"}`;
  document.title = `${node.node} - ${node.state} - Callboard`;
}

async function refresh() {
  if (asking) {
    askAgain = true;
    return;
  }
  asking = true;
  const seen = view;
  try {
    if (!(seen instanceof Overview)) greet(await ask("/node"));
    await seen.refresh();
    if (seen === view) notice("");
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (seen === view) notice(error.message);
  } finally {
    asking = false;
    if (askAgain || seen !== view) {
      askAgain = false;
      refresh();
    }
  }
}

function show() {
  const [wanted, query] = location.hash.slice(1).split("?");
  const [key, , build] = VIEWS.find(([one]) => one === wanted) || VIEWS[0];
  for (const link of byId("views").children) {
    if (link.hash === `#${key}`) {
      link.setAttribute("aria-current", "page");
      link.scrollIntoView({ block: "nearest", inline: "center" });
    } else {
      link.removeAttribute("aria-current");
    }
  }
  byId("main").replaceChildren();
  notice("");
  view = build(byId("main"), new URLSearchParams(query || ""));
  refresh();
}

function listen() {
  const events = new EventSource(`${API}/events`);
  events.addEventListener("rates", (event) => {
    history.push(JSON.parse(event.data));
    if (history.length > SECONDS) history.shift();
    if (view instanceof Overview) view.rates();
  });
  events.addEventListener("error", () => {
    // After a refusal a browser does not try again by itself.
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, AGAIN);
  });
}

byId("views").append(...VIEWS.map(([key, label]) => make("a", { href: `#${key}` }, label)));
window.addEventListener("hashchange", show);
show();
listen();
setInterval(() => {
  if (document.visibilityState === "visible" && !(view instanceof Explain)) refresh();
}, AGAIN);
