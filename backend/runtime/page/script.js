"use strict";
// Draws the page from the JSON in #data. Nothing is fetched.
const data = JSON.parse(document.getElementById("data").textContent);
const main = document.querySelector("main");
const SVG = "http://www.w3.org/2000/svg";

function make(tag, options = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(options)) {
    if (key === "text") node.textContent = value;
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== false && value != null) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

function svg(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function shown(value, digits) {
  if (value == null) return "–";
  if (digits == null || typeof value !== "number") return String(value);
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

// What is missing stands last, whichever way a column is sorted.
function compare(one, other, direction) {
  if (one == null || other == null) return (one == null) - (other == null);
  const order = typeof one === "number" && typeof other === "number"
    ? one - other : String(one).localeCompare(String(other), "en", { numeric: true });
  return direction * order;
}

const viewers = [];
function show(name) {
  for (const viewer of viewers) if (viewer(name)) return;
}

function table(section) {
  let sorted = section.sorted || null, direction = section.descending ? -1 : 1, only = false;
  const body = make("tbody");
  const count = make("span", { class: "count", "aria-live": "polite" });
  const search = make("input", {
    type: "search", placeholder: "Filter", "aria-label": `Filter ${section.title}`, oninput: fill,
  });
  const pictures = new Set(data.pictures.map((picture) => picture.name));
  const heads = section.columns.map((column) => {
    const arrow = make("span", { class: "arrow" });
    const button = make("button", {
      type: "button", title: column.about || null,
      onclick: () => {
        // A number is first sorted from lowest to highest, as one looks for what is worst.
        direction = sorted === column.key ? -direction : 1;
        sorted = column.key;
        fill();
      },
    }, column.title, arrow);
    return { column, arrow, cell: make("th", { class: column.digits == null ? "text" : null, scope: "col" }, button) };
  });

  function cell(row, column) {
    const options = { class: [column.digits == null ? "text" : "", (row.tones || {})[column.key] || ""].join(" ").trim() || null };
    const value = row[column.key];
    if (column.key !== section.link || !/^https?:/.test(value || ""))
      return make("td", { ...options, text: shown(value, column.digits) });
    return make("td", options, make("a", {
      href: value, target: "_blank", rel: "noopener noreferrer", text: section.link_text,
      onclick: (event) => event.stopPropagation(),
    }));
  }

  function fill() {
    const wanted = search.value.trim().toLowerCase();
    let rows = section.rows.filter((row) => !only || row.differs);
    if (wanted) rows = rows.filter((row) => section.columns.some((column) =>
      column.digits == null && String(row[column.key] ?? "").toLowerCase().includes(wanted)));
    if (sorted) rows = [...rows].sort((one, other) => compare(one[sorted], other[sorted], direction));
    body.replaceChildren(...rows.map((row) => {
      const picture = section.picture && pictures.has(row[section.picture]) ? row[section.picture] : null;
      return make("tr", {
        "data-picture": picture, tabindex: picture ? "0" : null,
        onclick: () => picture && show(picture),
        onkeydown: (event) => picture && event.key === "Enter" && show(picture),
      }, ...section.columns.map((column) => cell(row, column)));
    }));
    for (const head of heads) {
      const active = head.column.key === sorted;
      head.arrow.textContent = active ? (direction > 0 ? "▲" : "▼") : "";
      head.cell.setAttribute("aria-sort", active ? (direction > 0 ? "ascending" : "descending") : "none");
    }
    count.textContent = rows.length === section.rows.length
      ? `${rows.length} rows` : `${rows.length} of ${section.rows.length} rows`;
  }

  const bar = make("div", { class: "bar" }, make("h3", { text: section.title }), make("span", { class: "space" }));
  if (section.rows.length > 8) bar.append(count, search);
  if (section.rows.some((row) => row.differs) && section.rows.some((row) => row.differs === false))
    bar.append(make("label", {}, make("input", {
      type: "checkbox", onchange: (event) => { only = event.target.checked; fill(); },
    }), "only differences"));
  fill();
  return make("div", { class: "box", "data-table": section.name },
    bar, ...(section.about ? [make("p", { class: "about", text: section.about })] : []),
    make("div", { class: "scroll" }, make("table", {},
      make("thead", {}, make("tr", {}, ...heads.map((head) => head.cell))), body)));
}

// Tables that share a place, one shown at a time.
function tabs(sections) {
  const boxes = sections.map(table);
  const buttons = sections.map((section, i) => make("button", {
    type: "button", role: "tab", "aria-selected": String(i === 0), text: section.tab,
    onclick: () => choose(i),
  }));
  function choose(chosen) {
    boxes.forEach((box, i) => { box.hidden = i !== chosen; });
    buttons.forEach((button, i) => button.setAttribute("aria-selected", String(i === chosen)));
  }
  choose(0);
  return make("div", {}, make("div", { class: "bar", role: "tablist", style: "padding-left:0" }, ...buttons), ...boxes);
}

function keys(names) {
  return Object.entries(names).map(([side, name]) => make("span", { class: "key" },
    make("i", { style: `background:var(--${side})` }), name));
}

function viewer(section) {
  if (!data.pictures.length) return make("p", { class: "about", text: "There is no picture to show." });
  let view = null, picture = null, panes = [];
  const panels = make("div", { class: "panels" });
  const why = make("div", { class: "why" });
  const hint = "Point at an instance for its label, score and overlap. Wheel or buttons zoom, dragging moves.";

  function apply() {
    const box = `${view.x} ${view.y} ${view.width} ${view.height}`;
    for (const pane of panes) {
      pane.canvas.setAttribute("viewBox", box);
      const size = view.width / (pane.canvas.clientWidth || 400);
      const taken = [];
      for (const name of pane.names.children) {
        name.style.fontSize = `${13 * size}px`;
        name.style.strokeWidth = `${3 * size}px`;
        const line = 15 * size, length = 7.9 * size * name.textContent.length;
        let x = Number(name.dataset.x);
        if (x < view.x + view.width) x = Math.min(x, view.x + view.width - length);
        name.setAttribute("x", x);
        let y = Math.max(Number(name.dataset.y), 14 * size);
        // A name that would cover another one goes below it.
        while (taken.some((other) => Math.abs(other.y - y) < line && x < other.end && other.x < x + length))
          y += line / 2;
        taken.push({ x, y, end: x + length });
        name.setAttribute("y", y);
      }
    }
  }
  function reset() {
    view = { x: 0, y: 0, width: picture.width, height: picture.height };
    apply();
  }
  function zoom(factor, x = view.x + view.width / 2, y = view.y + view.height / 2) {
    const width = Math.min(picture.width, Math.max(picture.width / 40, view.width * factor));
    const share = width / view.width;
    view = { x: x - (x - view.x) * share, y: y - (y - view.y) * share, width, height: view.height * share };
    move(0, 0);
  }
  function move(dx, dy) {
    view.x = Math.min(picture.width - view.width, Math.max(0, view.x + dx));
    view.y = Math.min(picture.height - view.height, Math.max(0, view.y + dy));
    apply();
  }
  function place(event, canvas) {
    const box = canvas.getBoundingClientRect();
    return [view.x + ((event.clientX - box.left) / box.width) * view.width,
      view.y + ((event.clientY - box.top) / box.height) * view.height];
  }
  // What there is nothing to say about can be hidden.
  const isPlain = (instance) => ["matched", "kept"].includes(instance.state);
  function describe(instance) {
    if (instance.text) return instance.text;
    const reasons = {
      score: "the other has it below the threshold", label: "the other gives another label there",
      box: "the other has one near, but not at this place", missing: "the other has nothing there",
    };
    const parts = [instance.label];
    if (instance.score != null) parts.push(`score ${shown(instance.score, 3)}`);
    if (instance.why) parts.push(`no partner: ${reasons[instance.why]}`);
    if (instance.mask_iou != null) parts.push(`mask IoU with its partner ${shown(instance.mask_iou, 3)}`);
    return parts.join(" · ");
  }
  function pane(panel, index) {
    const names = svg("g", { class: "names" });
    const canvas = svg("svg", { preserveAspectRatio: "xMidYMid meet", style: `aspect-ratio:${picture.width}/${picture.height}` },
      svg("image", { href: picture.image, width: picture.width, height: picture.height, preserveAspectRatio: "none" }));
    for (const instance of panel.instances) {
      const look = instance.state + (isPlain(instance) ? " plain" : "");
      const shape = svg("path", { d: instance.path, class: `shape ${look}` }, svg("title", {}));
      shape.firstChild.textContent = describe(instance);
      shape.addEventListener("pointerenter", () => { why.textContent = `${panel.title}: ${describe(instance)}`; });
      canvas.append(shape);
      const start = /^M([-\d.]+) ([-\d.]+)/.exec(instance.path);
      if (start) {
        const name = svg("text", { "data-x": start[1], "data-y": start[2], class: look });
        name.textContent = instance.label + (instance.score == null ? "" : ` ${shown(instance.score, 2)}`);
        names.append(name);
      }
    }
    canvas.append(names);
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      zoom(event.deltaY > 0 ? 1.2 : 1 / 1.2, ...place(event, canvas));
    }, { passive: false });
    canvas.addEventListener("dblclick", reset);
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      canvas.classList.add("dragged");
    });
    canvas.addEventListener("pointerup", () => canvas.classList.remove("dragged"));
    canvas.addEventListener("pointermove", (event) => {
      if (!event.buttons) return;
      const size = view.width / canvas.clientWidth;
      move(-event.movementX * size, -event.movementY * size);
    });
    const alone = panel.instances.filter((instance) => instance.state === "alone").length;
    const count = panel.count ?? `${panel.instances.length}` + (alone ? `, ${alone} without a partner` : "");
    panels.append(make("div", { class: `panel p${index}` }, make("h4", { text: `${panel.title} ` }, make("span", { text: count })), canvas));
    panes.push({ canvas, names });
  }
  function choose(name) {
    const found = data.pictures.find((each) => each.name === name);
    if (!found) return false;
    picture = found;
    panes = [];
    panels.replaceChildren();
    panels.style.gridTemplateColumns = `repeat(${found.panels.length}, minmax(0, 1fr))`;
    found.panels.forEach(pane);
    why.textContent = hint;
    for (const button of strip.children)
      button.setAttribute("aria-pressed", String(button.dataset.name === name));
    reset();
    return true;
  }
  const strip = make("div", { class: "strip" }, ...data.pictures.map((each) => make("button", {
    type: "button", "data-name": each.name, title: each.name, onclick: () => choose(each.name),
  }, make("img", { src: each.image, alt: "" }), each.name)));
  const toggle = (text, name, pressed) => make("button", {
    type: "button", "aria-pressed": String(pressed), text,
    onclick: (event) => {
      const on = event.target.getAttribute("aria-pressed") !== "true";
      event.target.setAttribute("aria-pressed", String(on));
      panels.classList.toggle(name, name === "unnamed" ? !on : on);
    },
  });
  const box = make("div", { class: "box", id: "viewer" },
    make("div", { class: "bar" }, make("h3", { text: section.title }), make("span", { class: "space" }),
      toggle("Names", "unnamed", true), toggle(section.toggle || "Only without a partner", "bare", false),
      make("button", { type: "button", text: "Zoom in", onclick: () => zoom(1 / 1.5) }),
      make("button", { type: "button", text: "Zoom out", onclick: () => zoom(1.5) }),
      make("button", { type: "button", text: "Whole picture", onclick: reset })),
    ...(section.about ? [make("p", { class: "about", text: section.about })] : []),
    ...(section.key ? [make("div", { class: "keys" }, ...keys(section.key))] : []), strip, panels, why);
  viewers.push((name) => {
    if (!choose(name)) return false;
    box.scrollIntoView({ behavior: "smooth", block: "start" });
    return true;
  });
  requestAnimationFrame(() => choose(data.pictures[0].name));
  addEventListener("resize", () => view && apply());
  return box;
}

const draw = {
  cards: (section) => make("div", { class: "cards" }, ...section.cards.map((card) => make("div", { class: `card ${card.tone}` },
    make("div", { class: "name", text: card.name }), make("div", { class: "figure", text: card.figure }),
    make("div", { class: "rests", text: card.rests_on })))),
  heading: (section) => make("div", {}, make("h2", { text: section.title }), ...(section.about ? [make("p", { class: "about", text: section.about })] : [])),
  note: (section) => make("p", { class: section.tone || "about", text: section.text }),
  plots: (section) => make("div", { class: "plots" }, ...section.plots.map((plot) => {
    const holder = make("div", { class: "box" }, make("div", { class: "bar" },
      make("h3", { text: plot.title }), make("span", { class: "space" }), ...keys(plot.key)));
    holder.insertAdjacentHTML("beforeend", plot.svg);
    return holder;
  })),
  table, viewer,
};

for (let i = 0; i < data.sections.length; i++) {
  const section = data.sections[i];
  if (section.kind === "table" && section.tab) {
    const group = [section];
    while (data.sections[i + 1]?.tab) group.push(data.sections[++i]);
    main.append(tabs(group));
  } else main.append(draw[section.kind](section));
}
