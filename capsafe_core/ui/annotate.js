// The annotation bench: holds the next items, reads keys, and sends what was done until it is acknowledged.
// Text from models, prompts and people is written with textContent only.

const SHOWN_AT_LEAST = 250; // ms on screen before a key counts
const RESEND_AFTER = 3000;
const PERIOD = 60; // periods of a loop that are looked for at the end of a text
const INVISIBLE = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufdd0-\ufdef\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\u{13430}-\u{1343f}\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]/gu;
const NARROW = "(max-width: 800px)"; // as in the style
const VIEWS = ["guide", "list", "blurred"];
const BENCHES = new WeakMap();

export default function ({ data, parentElement, setTriggerValue }) {
  let bench = BENCHES.get(parentElement);
  if (!bench) {
    bench = new Bench(parentElement);
    BENCHES.set(parentElement, bench);
  }
  bench.send = (value) => setTriggerValue("outbox", value);
  bench.take(data);
  return () => bench.close();
}

class Bench {
  constructor(root) {
    this.root = root;
    this.hand = []; // items not answered yet, the one on screen first
    this.past = []; // items answered here, the newest last
    this.outbox = new Map(); // id -> what was done and not acknowledged
    this.refused = [];
    this.current = null;
    this.lastSent = 0;
    this.began = Date.now();
    this.onKey = (event) => this.key(event);
    document.addEventListener("keydown", this.onKey, true);
    this.timer = setInterval(() => this.flush(false), 1000);
    for (const view of VIEWS) this.at(`${view}-button`).onclick = () => this.toggle(view);
    this.at("note").oninput = (event) => { if (this.current) this.current.note = event.target.value; };
    this.at("note").onkeydown = (event) => { if (event.key === "Escape") { event.target.blur(); } event.stopPropagation(); };
    this.at("save").onclick = () => this.saveUnsent();
    this.at("skip-practice").onclick = () => this.endPractice();
  }

  close() {
    document.removeEventListener("keydown", this.onKey, true);
    clearInterval(this.timer);
    BENCHES.delete(this.root);
  }

  at(name) { return this.root.querySelector(`[data-part="${name}"]`); }

  // what the server says

  take(data) {
    const first = !this.data;
    this.data = data;
    if (first) {
      this.shelf = `capsafe-unsent-${data.queue}-${data.name}`;
      for (const entry of read(this.shelf)) this.outbox.set(entry.id, entry);
      this.practice = data.practice ? data.practice.map((p) => ({ ...p, practice: true })) : [];
      this.practiceRight = 0;
      this.practiceAsked = this.practice.length;
      for (const chip of this.root.querySelectorAll("kbd[data-key]")) chip.textContent = data.keys[chip.dataset.key];
      this.set("blurred", recall("capsafe-unblurred") !== "yes");
      this.set("guide", !matchMedia(NARROW).matches && recall("capsafe-guide") !== "closed");
      this.drawGuide();
    }
    for (const receipt of data.receipts || []) {
      const entry = this.outbox.get(receipt.id);
      this.outbox.delete(receipt.id);
      if (entry && !receipt.taken) this.refused.push(`${receipt.message}`);
    }
    write(this.shelf, [...this.outbox.values()]);
    const busy = new Set([...this.hand.map((t) => t.id), ...[...this.outbox.values()].map((e) => e.task)]);
    for (const on of [this.current, this.current?.revising]) if (on?.task) busy.add(on.task.id);
    for (const task of data.tasks || []) if (!busy.has(task.id)) this.hand.push(task);
    this.drawList();
    if (!this.current) this.next();
    this.drawState();
    if (first && this.outbox.size) this.flush(true);
  }

  // what goes to the server

  flush(now) {
    const waiting = [...this.outbox.values()];
    const low = !this.practice?.length && this.hand.length < 5 && !this.data?.empty;
    const due = Date.now() - this.lastSent > RESEND_AFTER;
    if (!(now || (due && (waiting.length || low)))) return;
    this.lastSent = Date.now();
    const entries = waiting.map((e) => ({ ...e, age: (Date.now() - e.made) / 1000 }));
    try { this.send({ entries, sent: this.lastSent }); } catch (error) { /* the timer tries again */ }
    this.drawState();
  }

  post(entry) {
    const made = { id: crypto.randomUUID ? crypto.randomUUID() : uuid(), made: Date.now(), queue: this.data.queue, guidelines: this.data.guidelines, ...entry };
    this.outbox.set(made.id, made);
    write(this.shelf, [...this.outbox.values()]);
    this.flush(true);
  }

  saveUnsent() {
    const lines = [...this.outbox.values(), ...this.stranded()].flatMap((e) => Object.entries(e.answers || {}).map(([dimension, label]) =>
      JSON.stringify({
        generation_id: e.task.split("#")[0], annotator: this.data.name, dimension, label, created: e.made / 1000, shown: e.made / 1000 - e.seconds, note: e.note || "", queue: e.queue,
        repeat: e.task.endsWith("#1") ? 1 : 0, confidence: e.confidence, guidelines: e.guidelines, ...(dimension === "coherence" ? { reasons: e.reasons } : {}),
      })));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "application/jsonl" }));
    link.download = "labels-not-taken-in.jsonl";
    link.click();
  }

  // what this person's browser kept for other queues, which are closed or gone
  stranded() {
    const shelves = shelvesOf(this.data.name).filter((shelf) => shelf !== this.shelf);
    return shelves.flatMap((shelf) => read(shelf));
  }

  // items

  next() {
    if (this.practice.length) this.show({ task: this.practice[0] });
    else if (this.hand.length) this.show({ task: this.hand.shift() });
    else { this.current = null; this.drawItem(); }
  }

  show({ task, answers = {}, revising = null }) {
    this.current = { task, answers: {}, before: answers, at: 0, reasons: new Set(), evidence: [], note: "", sure: true, choosing: false, revising, shownAt: Infinity, feedback: false };
    this.open = false;
    this.drawItem();
    requestAnimationFrame(() => requestAnimationFrame(() => { if (this.current) this.current.shownAt = performance.now(); }));
  }

  answer(dimension, label) {
    const c = this.current;
    c.answers[dimension] = label;
    if (dimension === "coherence") { c.reasons.clear(); c.evidence = []; }
    c.choosing = dimension === "coherence" && label === "incoherent";
    if (!c.choosing) this.onward();
    else this.drawQuestions();
  }

  onward() {
    const c = this.current;
    c.choosing = false;
    c.at += 1;
    if (c.at < this.data.questions.length) this.drawQuestions();
    else if (c.task.practice) this.drawFeedback();
    else this.finish("label");
  }

  finish(kind) {
    const c = this.current;
    this.post({
      task: c.task.id, kind, answers: kind === "label" ? c.answers : {}, seconds: (performance.now() - c.shownAt) / 1000,
      reasons: [...c.reasons], evidence: c.evidence, note: c.note, confidence: c.sure ? 1 : 0, again: !!c.revising,
    });
    if (!c.revising) this.past.push(c.task);
    this.current = null;
    if (c.revising?.task) this.show(c.revising); else this.next();
    this.drawState();
  }

  undo() {
    const c = this.current;
    if (c && (c.choosing || c.at > 0)) { // one question back
      if (!c.choosing) c.at -= 1;
      c.choosing = false;
      c.feedback = false;
      delete c.answers[this.data.questions[c.at].dimension];
      this.drawQuestions();
      return;
    }
    if (c?.revising) { // leave it as it was
      this.current = null;
      if (c.revising.task) this.show(c.revising); else this.next();
      return;
    }
    const task = this.past.pop();
    if (!task) return;
    this.post({ task: task.id, kind: "undo", answers: {}, seconds: 1 });
    if (c && !c.task.practice) this.hand.unshift(c.task);
    this.show({ task });
  }

  revise(item) {
    const back = this.current && !this.current.revising ? { task: this.current.task } : {};
    this.show({ task: item, answers: item.answers, revising: back });
  }

  endPractice() {
    const asked = this.practiceAsked - this.practice.length;
    this.practice = [];
    this.send({ entries: [], practised: { right: this.practiceRight, asked }, sent: Date.now() });
    this.lastSent = Date.now();
    this.next();
    this.drawState();
  }

  // keys

  key(event) {
    const target = event.composedPath()[0];
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName || "") || target.isContentEditable) return;
    const c = this.current;
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const found = this.action(c, name);
    if (!found) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.repeat) return;
    // shownAt is infinite until the item was drawn
    if (c && found.labels && !(performance.now() - c.shownAt >= SHOWN_AT_LEAST)) return;
    found.act();
  }

  // What a key does now, and whether that labels something; null where it does nothing.
  action(c, key) {
    const labels = (act) => ({ labels: true, act }), command = Object.entries(this.data.keys).find(([, own]) => own === key)?.[0];
    const on = key === "Enter" || key === " ";
    if (c?.feedback) return on ? labels(() => this.afterFeedback()) : null;
    if (c?.choosing) {
      const reason = this.data.reasons.find((r) => r.key === key);
      if (reason) return labels(() => this.chooseReason(reason.name));
      if (on) return labels(() => this.onward());
    }
    const question = c && !c.choosing ? this.data.questions[c.at] : null;
    const option = question && question.options.find((o) => o.key === key);
    if (option) return labels(() => this.answer(question.dimension, option.label));
    if (command === "undo" || key === "Backspace") return { act: () => this.undo() };
    if (VIEWS.includes(command)) return { act: () => this.toggle(command) };
    if (!c) return null;
    if (command === "skip") return c.task.practice ? null : labels(() => this.finish("skip"));
    if (command === "note") return { act: () => this.at("note").focus() };
    if (command === "unsure") return { act: () => { c.sure = !c.sure; this.drawQuestions(); } };
    if (command === "unfold") return { act: () => { this.open = !this.open; this.drawTexts(); } };
    return null;
  }

  chooseReason(name) {
    const c = this.current, span = this.selected();
    if (span) {
      c.reasons.add(name);
      c.evidence.push({ reason: name, ...span });
      getSelection().removeAllRanges();
      this.drawTexts();
    } else if (c.reasons.has(name)) {
      c.reasons.delete(name);
      c.evidence = c.evidence.filter((e) => e.reason !== name);
      this.drawTexts();
    } else c.reasons.add(name);
    this.drawQuestions();
    if (name === "other" && c.reasons.has(name)) this.at("note").focus();
  }

  // characters of the answer that are selected, or null
  selected() {
    const selection = this.root.getSelection ? this.root.getSelection() : getSelection();
    if (!selection || selection.isCollapsed || !selection.rangeCount) return null;
    const range = selection.getRangeAt(0), box = this.at("answer");
    if (!box.contains(range.startContainer) || !box.contains(range.endContainer)) return null;
    const place = (node, offset) => {
      const piece = (node.nodeType === 3 ? node.parentElement : node.childNodes[offset] || node.lastChild || node).closest?.("[data-start]");
      if (!piece) return null;
      const start = Number(piece.dataset.start);
      return piece.dataset.one ? start + (node.nodeType === 3 && offset > 0 ? 1 : 0) : start + (node.nodeType === 3 ? [...node.data.slice(0, offset)].length : 0);
    };
    const start = place(range.startContainer, range.startOffset), end = place(range.endContainer, range.endOffset);
    return start === null || end === null || end <= start ? null : { start, end };
  }

  set(view, on) {
    this.at("bench").classList.toggle(`no-${view}`, !on);
    this.at(`${view}-button`).setAttribute("aria-pressed", String(on));
  }

  toggle(view) {
    const on = this.at("bench").classList.contains(`no-${view}`);
    this.set(view, on);
    if (view === "blurred") remember("capsafe-unblurred", on ? "" : "yes");
    if (view === "guide") remember("capsafe-guide", on ? "" : "closed");
    if (on && view === "list") this.set("guide", false);
    if (on && view === "guide") this.set("list", false);
  }

  // practice

  drawFeedback() {
    const c = this.current, truth = c.task.labels;
    c.at = this.data.questions.length - 1;
    c.feedback = true;
    const wrong = this.data.questions.filter((q) => q.dimension in truth && truth[q.dimension] !== c.answers[q.dimension]);
    c.right = wrong.length === 0;
    this.drawQuestions();
    const box = this.at("feedback");
    box.hidden = false;
    box.className = c.right ? "right" : "wrong";
    const expected = wrong.map((q) => q.options.find((o) => o.label === truth[q.dimension]).means).join(", ");
    box.textContent = visible(`${c.right ? "As the guidelines have it." : `The guidelines say: ${expected}.`} ${c.task.why} Press Enter to continue.`);
  }

  afterFeedback() {
    this.practiceRight += this.current.right ? 1 : 0;
    this.practice.shift();
    this.current = null;
    if (this.practice.length) this.next(); else this.endPractice();
  }

  // drawing

  drawItem() {
    const c = this.current, bench = this.at("bench");
    bench.dataset.task = c ? c.task.id : "";
    this.at("item").hidden = !c;
    this.at("nothing").hidden = !!c;
    this.at("feedback").hidden = true;
    if (!c) {
      this.at("nothing").textContent = visible(this.data.message || (this.outbox.size ? "Sending your last labels …" : "Fetching the next items …"));
      this.drawState();
      return;
    }
    this.at("note").value = "";
    this.drawTexts();
    this.drawQuestions();
    this.drawState();
  }

  drawTexts() {
    const { task, evidence } = this.current;
    this.at("about").textContent = visible([task.practice ? `Practice ${this.practiceAsked - this.practice.length + 1} of ${this.practiceAsked}: not counted` : "", this.current.revising ? "You are changing an earlier label" : "", task.about || ""].filter(Boolean).join(" · "));
    this.at("harm").textContent = task.harm ? `Harm asked for: ${visible(task.harm)}` : "";
    const { unfold } = this.data.keys;
    paint(this.at("prompt"), task.prompt, [], true, unfold);
    paint(this.at("answer"), task.answer, evidence, this.open, unfold);
    this.at("answer").scrollTop = 0;
  }

  drawQuestions() {
    const c = this.current, box = this.at("questions");
    box.replaceChildren();
    this.data.questions.forEach((q, i) => {
      const row = make("div", i === c.at ? "question now" : "question");
      const answers = make("span", "answers"), live = i === c.at && !c.choosing && !c.feedback;
      for (const o of q.options) {
        const button = make("button", c.answers[q.dimension] === o.label ? "chosen" : c.before[q.dimension] === o.label ? "before" : "");
        if (live) button.append(make("kbd", "", o.key));
        button.append(document.createTextNode(o.words));
        button.disabled = i > c.at;
        button.onclick = () => { c.at = i; c.choosing = false; if (performance.now() - c.shownAt >= SHOWN_AT_LEAST) this.answer(q.dimension, o.label); };
        answers.append(button);
      }
      row.append(make("span", "words", q.words), answers);
      box.append(row);
      if (i === c.at && c.choosing) {
        const reasons = make("div", "reasons");
        reasons.append(make("span", "words", "Why? All that apply. Select text first to mark where."));
        for (const r of this.data.reasons) {
          const button = make("button", c.reasons.has(r.name) ? "chosen" : "", "");
          button.append(make("kbd", "", r.key), document.createTextNode(r.words));
          button.title = r.meaning;
          button.onmousedown = (event) => event.preventDefault(); // the selection stays
          button.onclick = () => this.chooseReason(r.name);
          reasons.append(button);
        }
        const on = make("button", "", "");
        on.append(make("kbd", "", "Enter"), document.createTextNode("continue"));
        on.onclick = () => this.onward();
        reasons.append(on);
        box.append(reasons);
        reasons.scrollIntoView({ block: "nearest" });
      }
    });
    this.at("unsure").setAttribute("aria-pressed", String(!c.sure));
    this.at("unsure").onclick = () => { c.sure = !c.sure; this.drawQuestions(); };
    this.at("skip").onclick = () => this.finish("skip");
    this.at("skip").hidden = !!c.task.practice;
    this.at("undo").onclick = () => this.undo();
    this.at("skip-practice").hidden = !c.task.practice;
  }

  drawState() {
    const p = this.data.progress, waiting = this.outbox.size, more = uncounted([...this.outbox.values()]);
    const kept = this.past.length, minutes = (Date.now() - this.began) / 60000;
    const pace = kept >= 5 && minutes > 0.2 ? ` · ${Math.round(kept / minutes)} a minute` : "";
    this.at("progress").textContent = `${visible(this.data.name)}: ${p.mine + more} done, ${p.today + more} of ${this.data.daily} today${pace} · queue: ${p.done} of ${p.total} annotations`;
    this.at("bar").style.width = `${Math.min(100, (100 * (p.today + more)) / Math.max(1, this.data.daily))}%`;
    const late = waiting && Date.now() - Math.min(...[...this.outbox.values()].map((e) => e.made)) > 2 * RESEND_AFTER;
    const lost = late ? `${waiting} not acknowledged yet: the connection may be lost. They are kept in this browser and sent again. ` : "";
    const rest = minutes > 25 && this.data.harmful ? `You have been reviewing harmful content for ${Math.floor(minutes)} minutes. Consider a short break. ` : "";
    const trouble = this.refused.length ? `${this.refused.length} not kept: ${this.refused[this.refused.length - 1]} ` : "";
    this.at("warning").textContent = visible(lost + trouble + rest + (this.data.warning || ""));
    if (this.others === undefined) this.others = this.stranded().length;
    if (this.others) this.at("warning").textContent += `${this.others} done in other queues were never taken in: open those queues, or save them to a file. `;
    this.at("save").hidden = !(late || this.others || (this.data.message && waiting));
    this.at("bench").dataset.waiting = String(waiting);
  }

  drawList() {
    const box = this.at("list");
    box.replaceChildren(make("strong", "", "Your last 20"));
    for (const item of this.data.recent || []) {
      const button = make("button", "past", "");
      button.append(make("span", "said", item.said), make("span", "preview", ` ${item.answer.slice(0, 60)}`));
      button.onclick = () => this.revise(item);
      box.append(button);
    }
    if (!(this.data.recent || []).length) box.append(make("p", "", "Nothing yet."));
  }

  drawGuide() {
    const box = this.at("guide");
    for (const q of this.data.questions) {
      box.append(make("strong", "", q.words), ...q.rules.split("\n").map((line) => make("p", "", line)));
      if (q.dimension === "coherence") box.append(...this.data.reasons.map((r) => make("p", "reason", `${r.words}: ${r.meaning}`)));
    }
    box.append(make("strong", "", `${this.data.examples.length} worked examples`));
    for (const e of this.data.examples) {
      const one = make("details", "");
      one.append(make("summary", "", `${e.answer.slice(0, 48) || "(empty)"} → ${e.said}`), make("p", "asked", e.prompt), make("p", "said", e.answer || "(an empty response)"), make("p", "", e.why));
      box.append(one);
    }
  }
}

// By how many items a person is further than the server has said. Their newest entry on an item counts, and what was
// done before it was changed or taken back was counted already.
function uncounted(entries) {
  const tasks = new Map();
  for (const e of entries) tasks.set(e.task, { before: tasks.get(e.task)?.before ?? (e.kind === "undo" || !!e.again), after: e.kind !== "undo" });
  return [...tasks.values()].reduce((sum, t) => sum + Number(t.after) - Number(t.before), 0);
}

// text as text

function make(tag, kind, words) {
  const node = document.createElement(tag);
  if (kind) node.className = kind;
  if (words) node.textContent = visible(words);
  return node;
}

function visible(text) { return text.replace(INVISIBLE, (c) => code(c)); }
function code(c) { return `⟨U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`; }

// Where a loop at the end begins and how long one round is, or null.
function loop(points) {
  const n = points.length;
  for (let period = 1; period <= Math.min(PERIOD * 4, Math.floor(n / 5)); period++) {
    let same = period;
    while (same < n && points[n - 1 - same] === points[n - 1 - same + period]) same++;
    if (same >= 5 * period && same >= 80) return { start: n - same, period, times: Math.floor(same / period) };
  }
  return null;
}

// The text, marks around evidence, invisible characters written out, a loop at the end folded unless open. Offsets are in characters.
function paint(box, text, spans, open, unfold) {
  box.replaceChildren();
  if (!text) { box.append(make("i", "", "(an empty response)")); return; }
  const points = [...text], found = open ? null : loop(points);
  const end = found ? found.start + 2 * found.period : points.length;
  const edges = new Set([0, end]);
  for (const s of spans) { edges.add(Math.min(s.start, end)); edges.add(Math.min(s.end, end)); }
  const cuts = [...edges].sort((a, b) => a - b);
  for (let i = 0; i + 1 < cuts.length; i++) {
    const marked = spans.some((s) => s.start <= cuts[i] && s.end >= cuts[i + 1]);
    const part = make(marked ? "mark" : "span", "");
    let plain = "", from = cuts[i];
    const put = (at) => {
      if (plain) { const piece = make("span", "", plain); piece.dataset.start = String(from); part.append(piece); }
      plain = "";
      from = at;
    };
    for (let k = cuts[i]; k < cuts[i + 1]; k++) {
      if (points[k].match(INVISIBLE)) {
        put(k + 1);
        const piece = make("span", "invisible", code(points[k]));
        piece.dataset.start = String(k);
        piece.dataset.one = "yes";
        part.append(piece);
      } else plain += points[k];
    }
    put(cuts[i + 1]);
    box.append(part);
  }
  if (found) box.append(make("span", "folded", ` … and the same ${found.times - 2} times more (press ${unfold} to see it all)`));
}

function uuid() {
  const b = crypto.getRandomValues(new Uint8Array(16));
  b[6] = (b[6] & 15) | 64;
  b[8] = (b[8] & 63) | 128;
  const h = [...b].map((x) => x.toString(16).padStart(2, "0")).join("");
  return `${h.slice(0, 8)}-${h.slice(8, 12)}-${h.slice(12, 16)}-${h.slice(16, 20)}-${h.slice(20)}`;
}

function read(shelf) { try { return JSON.parse(localStorage.getItem(shelf) || "[]"); } catch (error) { return []; } }
function write(shelf, entries) { try { entries.length ? localStorage.setItem(shelf, JSON.stringify(entries)) : localStorage.removeItem(shelf); } catch (error) { /* full or forbidden: the labels are still in memory */ } }
function shelvesOf(name) { try { return Object.keys(localStorage).filter((k) => k.startsWith("capsafe-unsent-") && k.endsWith(`-${name}`)); } catch (error) { return []; } }
function recall(name) { try { return localStorage.getItem(name); } catch (error) { return null; } }
function remember(name, value) { try { localStorage.setItem(name, value); } catch (error) { /* only comfort */ } }
