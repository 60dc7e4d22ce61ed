"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { head } = data;
  const at = (id) => document.getElementById(id);
  const checked = (name) => [...document.querySelectorAll(`input[name="${name}"]:checked`)].map((box) => +box.value);

  // More cells than this along one side are brought to the dots of the screen, largest magnitudes first.
  const MOST_CELLS = 1000;
  const LOOKS = {
    light: { paper: "#ffffff", ink: "#24292f", pale: "#8c959f", blank: "#dbdbdb" },
    dark: { paper: "#16191d", ink: "#e6e8ea", pale: "#6e7781", blank: "#3a4048" },
  };

  const state = { sample: 0, step: 0, query: 0, key: 0 };
  const kept = { axes: new Map(), samples: new Map() };
  let models, views, shown;

  // Numbers

  async function unpack(text) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).arrayBuffer();
  }

  function once(cache, key, make) {
    if (!cache.has(key)) cache.set(key, make());
    return cache.get(key);
  }

  const axisOf = (places) => once(kept.axes, places[Math.min(state.sample, places.length - 1)], async () => {
    const place = places[Math.min(state.sample, places.length - 1)];
    const about = head.axes[place];
    const numbers = new Float64Array(await unpack(data.axes[place]));
    const { size } = about;
    const edges = numbers.slice(0, size + 1), first = numbers.slice(size + 1, 2 * size + 1), last = numbers.slice(2 * size + 1);
    const centres = first.map((step, i) => about.width === 1 ? step : (edges[i] + edges[i + 1]) / 2);
    const widths = first.map((_, i) => edges[i + 1] - edges[i]);
    const even = widths.slice(0, -1).every((width) => Math.abs(width / widths[0] - 1) < 1e-3);
    return { ...about, edges, first, last, centres, even };
  });

  const sampleOf = (sample) => once(kept.samples, sample, async () => {
    const buffer = await unpack(data.samples[sample]);
    const size = head.axes[head.steps[0]].size;
    let offset = 0;
    const rowsOf = (count) => Array.from({ length: count }, () => {
      const row = new Float32Array(buffer, offset, size);
      offset += 4 * size;
      return row;
    });
    const series = head.lanes === null ? null : rowsOf(head.lanes.length);
    const strips = head.strips.map((strip) => rowsOf(strip.rows));
    const matrices = head.matrices.map((matrix) => {
      const [n, m] = [matrix.queries[0], matrix.keys[0]].map((place) => head.axes[place].size);
      const codes = new Uint8Array(buffer, offset, n * m);
      offset += n * m;
      const top = matrix.tops[sample];
      return Array.from({ length: n }, (_, i) =>
        Float32Array.from(codes.subarray(i * m, (i + 1) * m), (code) => code > head.levels ? NaN : top * (code / head.levels) ** 2));
    });
    return { series, strips, matrices };
  });

  function find(axis, x) {
    let low = 0, high = axis.size - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (axis.edges[middle] <= x) low = middle; else high = middle - 1;
    }
    return low;
  }

  // Labels

  // Between dollars, Bokeh would look for mathematics and ask a server how to set it.
  const plain = (text) => text.replace(/\$\$|\\[([]/g, (opening) => `${opening[0]}\u200b${opening[1]}`);
  const shorten = (text, most = 18) =>
    text.length <= most ? text : `${text.slice(0, most - 1 - ((most - 1) >> 1))}…${text.slice(-((most - 1) >> 1))}`;
  const show = (value) => Number.isNaN(value) ? "no value" : String(+value.toPrecision(4));

  function stamp(axis, position) {
    if (axis.kind === "text") return axis.texts[position];
    if (axis.kind === "number") return String(+position.toPrecision(10));
    const text = new Date(position).toISOString();
    return position % 86400000 === 0 ? text.slice(0, 10) : `${text.slice(0, 10)} ${text.slice(11, position % 60000 === 0 ? 16 : 19)}`;
  }

  function label(axis, i) {
    const [first, last] = [axis.first[i], axis.last[i]];
    return first === last ? stamp(axis, first) : `${stamp(axis, first)} to ${stamp(axis, last)}`;
  }

  // In a sentence, a word of the data needs marks around it, and its place: words come again.
  const told = (axis, i) => axis.kind === "text" ? `“${label(axis, i)}” (${i})` : label(axis, i);

  // Drawing

  const named = (name) => models.get_model_by_name(name);
  const ndarray = (values, shape) => Bokeh.require("core/util/ndarray").ndarray(values, { dtype: "float32", shape });

  // Which cells of an axis fall on which column of an image, and where that image begins and ends.
  function columnsOf(axis, low, high) {
    const { edges, size } = axis;
    if (axis.even && size <= MOST_CELLS) {
      return { from: edges.slice(0, size).map((_, i) => i), to: edges.slice(0, size).map((_, i) => i + 1), start: edges[0], end: edges[size] };
    }
    const start = Math.max(low, edges[0]), end = Math.min(high, edges[size]);
    const from = [], to = [];
    for (let column = 0; column < MOST_CELLS; column++) {
      const left = start + (end - start) * column / MOST_CELLS, right = start + (end - start) * (column + 1) / MOST_CELLS;
      const first = find(axis, left);
      let beyond = find(axis, right);
      if (axis.edges[beyond] < right - 1e-9 * (end - start) && beyond > first && right >= axis.edges[beyond + 1]) beyond += 1;
      from.push(first);
      to.push(Math.max(first + 1, beyond));
    }
    return { from, to, start, end };
  }

  function image(values, rows, columns, divisor) {
    const [n, m] = [rows.from.length, columns.from.length];
    const out = new Float32Array(n * m);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < m; j++) {
        let largest = NaN;
        for (let r = rows.from[i]; r < rows.to[i]; r++) {
          const row = values[r];
          for (let c = columns.from[j]; c < columns.to[j]; c++) {
            if (!(Math.abs(row[c]) <= Math.abs(largest)) && !Number.isNaN(row[c])) largest = row[c];
          }
        }
        out[i * m + j] = largest / divisor;
      }
    }
    return { image: [ndarray(out, [n, m])], x: [columns.start], y: [rows.start], dw: [columns.end - columns.start], dh: [rows.end - rows.start] };
  }

  const counted = (n) => ({ from: [...Array(n).keys()], to: [...Array(n).keys()].map((i) => i + 1), start: 0, end: n });
  const glyphOf = (panel) => panel.renderers.find((each) => each.data_source !== undefined);

  function lanes(panel, names, height) {
    const n = names.length;
    panel.y_range.setv({ start: n, end: 0 });
    const axis = panel.left[0];
    axis.ticker.ticks = names.map((_, i) => i + 0.5);
    axis.major_label_overrides = new Map(names.map((name, i) => [i + 0.5, plain(shorten(name))]));
    panel.frame_height = Math.round(n * height);
  }

  const tall = (n, most) => Math.max(14, Math.min(most, Math.round(most * 4 / n)));

  function limits() {
    const scale = document.querySelector('input[name="scale"]:checked')?.value ?? "shared";
    const each = head.strips.map((strip) => scale === "sample" ? strip.tops[state.sample] : Math.max(...strip.tops));
    const shared = Math.max(...each) || 1;
    return { scale, shared, each: each.map((top) => scale === "shared" ? 1 : top || 1) };
  }

  function drawStrips() {
    const { own, time } = shown;
    const channels = checked("channel"), extractors = new Set(checked("extractor"));
    const range = named("time"), columns = columnsOf(time, range.start, range.end);
    const { scale, shared, each } = limits();
    data.strips.forEach((strip, i) => {
      const panel = named(`strip-${i}`);
      const chosen = strip.resolved ? channels : [0];
      panel.visible = extractors.has(i) && chosen.length > 0;
      if (!panel.visible) return;
      const names = strip.resolved ? chosen.map((channel) => data.channels[channel]) : ["all channels"];
      lanes(panel, names, tall(names.length, 22));
      glyphOf(panel).data_source.data = image(chosen.map((row) => own.strips[i][row]), counted(chosen.length), columns, each[i]);
    });
    if (data.strips.length) {
      const colours = named("colours");
      const top = scale === "shared" ? shared : 1;
      colours.setv({ low: colours.low < 0 ? -top : 0, high: top });
      const words = new Set(data.strips.map((strip) => strip.label));
      const what = words.size === 1 ? [...words][0] : "value";
      const whose = { extractor: "each extractor", sample: "each extractor and sample" }[scale];
      named("bar-scale").title = plain(whose ? `${what} / largest magnitude of ${whose}` : what);
      named("bar").visible = data.strips.some((_, i) => named(`strip-${i}`).visible);
    }
  }

  function drawSeries() {
    const { own, time } = shown;
    if (!own.series) return;
    const channels = data.channels.length ? checked("channel") : [0];
    const panel = named("series");
    panel.visible = channels.length > 0;
    const names = data.channels.length ? channels.map((channel) => data.channels[channel]) : ["input"];
    lanes(panel, names, tall(Math.max(1, names.length), 44));
    const ys = channels.map((channel, lane) => {
      const [low, high] = head.lanes[channel];
      return Float64Array.from(own.series[channel], (value) => lane + 0.92 - 0.84 * (high > low ? (value - low) / (high - low) : 0.5));
    });
    glyphOf(panel).data_source.data = { xs: channels.map(() => time.centres), ys };
    const alone = { x: [], y: [] };
    for (const lane of ys) {
      lane.forEach((y, i) => {
        if (Number.isNaN(y) || [lane[i - 1], lane[i + 1]].some((beside) => beside !== undefined && !Number.isNaN(beside))) return;
        alone.x.push(time.centres[i]);
        alone.y.push(y);
      });
    }
    named("alone").data_source.data = alone;
  }

  function drawMatrix() {
    if (!head.matrices.length) return;
    const { matrix, keys, queries } = shown;
    const range = named("matrix").x_range;
    const rows = columnsOf(queries, queries.edges[0], queries.edges[queries.size]);
    glyphOf(named("matrix")).data_source.data = image(matrix.weights, rows, columnsOf(keys, range.start, range.end), 1);
    named("matrix").y_range.setv({ start: queries.edges[queries.size], end: queries.edges[0] });
    named("matrix").frame_height = Math.max(140, Math.min(360, queries.size * 14));
    named("weight-colours").high = matrix.top || 1;
    named("matrix-bar-scale").title = "attention weight";
  }

  // The axis of time is written once, below the last panel in sight.
  function drawAxes() {
    const panels = ["series", ...data.strips.map((_, i) => `strip-${i}`), "weights", "matrix"].map(named).filter((panel) => panel?.visible);
    panels.forEach((panel, i) => {
      const last = i === panels.length - 1 || panels[i + 1].x_range !== panel.x_range || panels[i + 1].name === "weights";
      const axis = panel.below[0];
      axis.visible = last;
      axis.axis_label = last && panel.name !== "matrix" && shown.time.kind !== "date" ? plain(shown.time.label) : null;
      if (panel.name === "matrix") axis.axis_label = plain(shown.keys.label || "timestep attended to");
    });
    if (head.matrices.length) named("matrix").left[0].axis_label = plain(shown.queries.label || "timestep that attends");
  }

  // Names of steps, as many as fit what is in sight.
  function drawTexts() {
    const fit = (axis, low, high, room) => {
      const [first, beyond] = [find(axis, Math.min(low, high)), find(axis, Math.max(low, high)) + 1];
      const each = Math.max(1, Math.ceil((beyond - first) / room));
      return Array.from({ length: Math.ceil((beyond - first) / each) }, (_, i) => first + i * each);
    };
    const write = (ticks, axis, low, high, room) => {
      const chosen = fit(axis, low, high, room);
      ticks.ticker.ticks = chosen.map((i) => axis.centres[i]);
      ticks.major_label_overrides = new Map(chosen.map((i) => [axis.centres[i], plain(shorten(label(axis, i), 14))]));
    };
    const x = (panel, axis) => {
      if (!panel || axis.kind !== "text") return;
      write(panel.below[0], axis, panel.x_range.start, panel.x_range.end, 40);
      panel.below[0].major_label_orientation = "vertical";
    };
    for (const name of ["series", ...data.strips.map((_, i) => `strip-${i}`)]) x(named(name), shown.time);
    if (!head.matrices.length) return;
    for (const name of ["weights", "matrix"]) x(named(name), shown.keys);
    const { queries } = shown;
    if (queries.kind === "text") write(named("matrix").left[0], queries, queries.edges[0], queries.edges[queries.size], 24);
  }

  // Pointing

  function mark(name, dimension, position) {
    const span = named(`${name}-${dimension}`);
    if (span) span.setv({ location: position, visible: Number.isFinite(position) });
  }

  function point() {
    const { time, keys, queries, matrix, own } = shown;
    const position = time.centres[state.step];
    for (const name of ["series", ...data.strips.map((_, i) => `strip-${i}`)]) mark(name, "height", position);
    at("step").max = time.size - 1;
    at("step").value = state.step;
    at("step").setAttribute("aria-valuetext", told(time, state.step));
    at("where").textContent = at("here").textContent = told(time, state.step);
    fillValues(own);
    if (!matrix) return;
    const [q, k] = [state.query, state.key];
    mark("weights", "height", keys.centres[k]);
    mark("matrix", "height", keys.centres[k]);
    mark("matrix", "width", queries.centres[q]);
    const given = matrix.weights[q], received = matrix.weights.map((row) => row[k]);
    const panel = named("weights");
    const [solid, dashed] = ["given", "received"].map((name) => named(name).data_source);
    solid.data = { x: keys.centres, y: given };
    dashed.data = data.linked ? { x: queries.centres, y: Float32Array.from(received) } : { x: [], y: [] };
    panel.y_range.setv({ start: 0, end: 1.05 * matrix.top || 1 });
    panel.frame_height = 80;
    const name = data.matrices[state.matrix];
    panel.title.text = plain(`${shorten(name, 40)}: of ${told(queries, q)}, solid${data.linked ? `; on ${told(keys, k)}, dashed` : ""}`);
    at("attends").textContent =
      `${told(queries, q)} attends most to ${most(given, keys)}. ${told(keys, k)} is attended to most by ${most(received, queries)}.`;
  }

  function most(weights, axis) {
    const order = [...weights.keys()].filter((i) => weights[i] > 0).sort((a, b) => weights[b] - weights[a]).slice(0, 3);
    return order.map((i) => `${told(axis, i)}: ${+weights[i].toPrecision(2)}`).join(", ") || "nothing";
  }

  function fillValues(own) {
    const strips = checked("extractor");
    const channels = data.channels.length ? checked("channel") : [];
    const cell = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });
    const lines = [["channel", ...(own.series ? ["input"] : []), ...strips.map((i) => data.strips[i].name)]];
    for (const channel of channels) {
      const found = strips.map((i) => data.strips[i].resolved ? show(own.strips[i][channel][state.step]) : "");
      lines.push([data.channels[channel], ...(own.series ? [show(own.series[channel][state.step])] : []), ...found]);
    }
    if (strips.some((i) => !data.strips[i].resolved) || !data.channels.length) {
      const found = strips.map((i) => data.strips[i].resolved ? "" : show(own.strips[i][0][state.step]));
      const input = data.channels.length ? "" : own.series ? show(own.series[0][state.step]) : "";
      lines.push(["all channels", ...(own.series ? [input] : []), ...found]);
    }
    at("values").replaceChildren(...lines.map((line, row) => {
      const tr = document.createElement("tr");
      tr.append(...line.map((text, column) => {
        const made = cell(row === 0 || column === 0 ? "th" : "td", text);
        if (made.tagName === "TH") made.scope = row === 0 ? "col" : "row";
        return made;
      }));
      return tr;
    }));
  }

  function pointAt(step) {
    state.step = Math.max(0, Math.min(shown.time.size - 1, step));
    if (shown.matrix && data.linked) {
      const position = shown.time.centres[state.step];
      state.key = find(shown.keys, position);
      state.query = find(shown.queries, position);
    }
    point();
  }

  const pointer = { x: 0, y: 0 };

  function tell(lines) {
    const tip = at("tip");
    tip.textContent = lines.join("\n");
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    tip.style.left = `${Math.min(pointer.x + 16, innerWidth - width - 8)}px`;
    tip.style.top = `${pointer.y + 16 + height > innerHeight ? pointer.y - height - 12 : pointer.y + 16}px`;
  }

  function hover(panel, { x, y }) {
    const { time, keys, queries, own, matrix } = shown;
    if (panel.name === "matrix") {
      state.key = find(keys, x);
      state.query = find(queries, y);
      if (data.linked) state.step = find(time, x);
      point();
      tell([`${told(queries, state.query)} attends to ${told(keys, state.key)}`, `weight ${show(matrix.weights[state.query][state.key])}`]);
      return;
    }
    if (panel.name === "weights") {
      state.key = find(keys, x);
      point();
      tell([label(keys, state.key), `weight ${show(matrix.weights[state.query][state.key])}`]);
      return;
    }
    pointAt(find(time, x));
    const channels = data.channels.length ? checked("channel") : [0];
    const lane = Math.floor(y), i = +panel.name.slice(6), strip = data.strips[i];
    const lines = [label(time, state.step)];
    if (panel.name === "series") {
      const channel = channels[lane];
      if (channel !== undefined) lines.push(`${data.channels[channel] ?? "input"}: ${show(own.series[channel][state.step])}`);
    } else {
      const row = strip.resolved ? channels[lane] : 0;
      if (row !== undefined) {
        lines.push(`${strip.name}, ${strip.resolved ? data.channels[row] : "all channels"}`, `${strip.label}: ${show(own.strips[i][row][state.step])}`);
        if (strip.note) lines.push(strip.note);
      }
    }
    tell(lines);
  }

  // What is chosen

  let asked = 0;

  async function choose() {
    const mine = ++asked;
    state.sample = +at("sample").value;
    state.matrix = +(at("matrix-choice")?.value ?? 0);
    const about = head.matrices[state.matrix];
    const [own, time, keys, queries] = await Promise.all([
      sampleOf(state.sample), axisOf(head.steps), about && axisOf(about.keys), about && axisOf(about.queries),
    ]);
    if (mine !== asked) return;
    // Of a long choice, the last is kept only: numbers unpacked take much more room than packed.
    for (const key of kept.samples.keys()) if (key !== state.sample) kept.samples.delete(key);
    const moved = shown?.time !== time || (about && shown?.keys !== keys);
    shown = { own, time, keys, queries, matrix: about && { weights: own.matrices[state.matrix], top: about.tops[state.sample] } };
    if (moved) zoomOut();
    state.key = Math.min(state.key, (keys?.size ?? 1) - 1);
    state.query = Math.min(state.query, (queries?.size ?? 1) - 1);
    at("about").textContent = Object.entries(data.about[state.sample]).map(([key, value]) => `${key}: ${value}`).join(" · ");
    draw();
  }

  function draw() {
    drawSeries();
    drawStrips();
    drawMatrix();
    drawAxes();
    drawTexts();
    pointAt(state.step);
    document.documentElement.dataset.sample = state.sample;
  }

  function zoomOut() {
    const { time, keys } = shown;
    named("time")?.setv({ start: time.edges[0], end: time.edges[time.size] });
    named("keys")?.setv({ start: keys.edges[0], end: keys.edges[keys.size] });
    for (const name of ["time", "keys"]) {
      const range = named(name);
      range?.setv({ reset_start: range.start, reset_end: range.end });
    }
  }

  function zoom(factor, shift = 0) {
    const range = named("time"), { edges, size } = shown.time;
    const whole = edges[size] - edges[0], width = Math.min(whole, (range.end - range.start) * factor);
    // Around what is pointed at, where it is in sight.
    const here = shown.time.centres[state.step];
    const inside = factor < 1 && here >= range.start && here <= range.end;
    const centre = (inside ? here : (range.start + range.end) / 2) + shift * width;
    const start = Math.max(edges[0], Math.min(edges[size] - width, centre - width / 2));
    range.setv({ start, end: start + width });
  }

  let waiting = false;

  function zoomed() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      drawTexts();
      const long = (axis) => axis && !(axis.even && axis.size <= MOST_CELLS);
      if (long(shown.time)) drawStrips();
      if (long(shown.keys)) drawMatrix();
    });
  }

  // How it looks

  function look() {
    const chosen = at("look").value || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    document.documentElement.dataset.look = chosen;
    const { paper, ink, pale, blank } = LOOKS[chosen];
    for (const panel of panelsOf()) {
      panel.setv({ background_fill_color: paper, border_fill_color: paper });
      if (panel.outline_line_color !== null) panel.outline_line_color = pale;
      panel.title?.setv({ text_color: ink });
      for (const axis of [...panel.below, ...panel.left]) {
        if (axis.axis_line_color === undefined) axis.setv({ title_text_color: ink, major_label_text_color: ink, background_fill_color: paper, bar_line_color: null });
        else axis.setv({ axis_label_text_color: ink, major_label_text_color: ink, axis_line_color: pale, major_tick_line_color: pale });
      }
      for (const { glyph } of panel.renderers) {
        if (glyph.fill_color !== undefined) glyph.fill_color = ink;
        else if (glyph.line_color !== undefined) glyph.line_color = ink;
      }
    }
    for (const name of ["colours", "weight-colours"]) named(name)?.setv({ nan_color: blank });
  }

  const panelsOf = () =>
    ["series", ...data.strips.map((_, i) => `strip-${i}`), "bar", "weights", "matrix", "matrix-bar"].map(named).filter((panel) => panel);

  // Downloads

  function give(content, type, suffix) {
    const link = document.createElement("a");
    const name = data.names[state.sample].replace(/[^\w-]+/g, "_");
    link.href = URL.createObjectURL(new Blob([content], { type }));
    link.download = `sample_${name}.${suffix}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  function table() {
    const { own, time } = shown;
    const strips = checked("extractor"), channels = data.channels.length ? checked("channel") : [];
    const rows = [["sample", "timestep", "channel", "input", ...strips.map((i) => data.strips[i].name)]];
    const number = (value) => value === undefined || Number.isNaN(value) ? "" : +value.toPrecision(8);
    for (let step = 0; step < time.size; step++) {
      const begin = [data.names[state.sample], label(time, step)];
      for (const channel of channels) {
        const found = strips.map((i) => data.strips[i].resolved ? number(own.strips[i][channel][step]) : "");
        rows.push([...begin, data.channels[channel], number(own.series?.[channel][step]), ...found]);
      }
      if (strips.some((i) => !data.strips[i].resolved) || !channels.length) {
        const found = strips.map((i) => data.strips[i].resolved ? "" : number(own.strips[i][0][step]));
        rows.push([...begin, "all channels", data.channels.length ? "" : number(own.series?.[0][step]), ...found]);
      }
    }
    return rows;
  }

  function giveCsv() {
    const quote = (cell) => /[",\r\n]/.test(cell) ? `"${String(cell).replaceAll('"', '""')}"` : cell;
    give(table().map((row) => row.map(quote).join(",")).join("\r\n"), "text/csv", "csv");
  }

  function giveJson() {
    const [columns, ...rows] = table();
    const { matrix, keys, queries } = shown;
    const labels = (axis) => Array.from(axis.first, (_, i) => label(axis, i));
    const weights = matrix && {
      of: data.matrices[state.matrix], queries: labels(queries), keys: labels(keys),
      weights: matrix.weights.map((row) => Array.from(row, (weight) => Number.isNaN(weight) ? null : +weight.toPrecision(3))),
    };
    give(JSON.stringify({ columns, rows, attention: weights ?? null }), "application/json", "json");
  }

  function givePng() {
    const drawn = panelsOf().filter((panel) => panel.visible).map((panel) => views.find_one(panel).export("png", true).canvas);
    const whole = document.createElement("canvas");
    whole.width = Math.max(...drawn.map((each) => each.width));
    const line = Math.round(30 * whole.width / at("figure").clientWidth);
    whole.height = drawn.reduce((sum, each) => sum + each.height, line);
    const context = whole.getContext("2d");
    const { paper, ink } = LOOKS[document.documentElement.dataset.look];
    context.fillStyle = paper;
    context.fillRect(0, 0, whole.width, whole.height);
    context.fillStyle = ink;
    context.font = `bold ${line / 2}px sans-serif`;
    context.fillText(`${document.title}: sample ${data.names[state.sample]}`, line / 3, line * 2 / 3);
    let top = line;
    for (const each of drawn) {
      context.drawImage(each, 0, top);
      top += each.height;
    }
    whole.toBlob((blob) => give(blob, "image/png", "png"));
  }

  // Start

  async function start() {
    Bokeh.set_log_level("warn");
    models = Bokeh.require("document").Document.from_json(data.figures.doc);
    for (const panel of panelsOf()) {
      if (panel.name.endsWith("bar")) continue;
      panel.on_event("mousemove", (event) => hover(panel, event));
      panel.on_event("mouseleave", () => { at("tip").hidden = true; });
      panel.properties.js_event_callbacks.change.emit();
    }
    at("figure").addEventListener("pointermove", (event) => Object.assign(pointer, { x: event.clientX, y: event.clientY }), true);
    at("figure").addEventListener("pointerleave", () => { at("tip").hidden = true; });
    for (const name of ["time", "keys"]) {
      const range = named(name);
      if (range) range.on_change([range.properties.start, range.properties.end], zoomed);
    }
    // All that is known before the first view is laid out costs nothing to change.
    look();
    await choose();
    views = await Bokeh.embed.add_document_standalone(models, at("figure"));
    at("controls").addEventListener("submit", (event) => event.preventDefault());
    at("controls").addEventListener("change", ({ target }) => {
      if (["sample", "matrix-choice"].includes(target.id)) choose().catch(trouble);
      else if (target.id === "look") look();
      else if (target.id !== "step") draw();
    });
    at("step").addEventListener("input", () => pointAt(+at("step").value));
    const step = (by) => {
      const select = at("sample");
      select.value = Math.max(0, Math.min(select.options.length - 1, +select.value + by));
      choose().catch(trouble);
    };
    const presses = {
      previous: () => step(-1), next: () => step(1), in: () => zoom(0.5), out: () => zoom(2), all: zoomOut,
      earlier: () => zoom(1, -0.5), later: () => zoom(1, 0.5), png: givePng, csv: giveCsv, json: giveJson,
    };
    for (const [id, press] of Object.entries(presses)) at(id).addEventListener("click", press);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", look);
    // Once it is painted.
    requestAnimationFrame(() => setTimeout(() => { document.documentElement.dataset.ready = ""; }));
  }

  function trouble(error) {
    at("trouble").textContent = `The figures cannot be drawn in this browser: ${error.message}`;
    at("trouble").hidden = false;
    console.error(error);
  }

  start().catch(trouble);
})();
