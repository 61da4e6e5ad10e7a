/* The block explorer: one photo, its blocks as toggle buttons, and the model's score for the blocks that are kept. */

class Explorer {
  constructor(changed) {
    this.dialog = document.getElementById("explorer");
    this.changed = changed; // called with (photo, kept) after every change, and with null when closed
    this.dialog.addEventListener("click", (event) => this.#click(event));
    this.dialog.addEventListener("keydown", (event) => this.#key(event));
    this.dialog.addEventListener("close", () => this.changed(null));
    this.rule = this.#element("rule");
    this.overlay = this.#element("overlay");
    this.rule.addEventListener("input", () => this.#drawRule());
    this.overlay.addEventListener("input", () => this.#drawOverlay());
  }

  /** Open a photo with some blocks kept (all when null). `order` are the photos that "next" goes through. */
  open(data, photo, entry, kept, order, go) {
    const another = this.entry !== entry || this.data !== data;
    Object.assign(this, { data, photo, entry, order, go });
    this.count = data.rows * data.columns;
    this.full = 2 ** this.count - 1;
    if (another || !this.dialog.open) {
      this.scores = restoreScores(photo);
      this.sizes = extremes(this.scores, this.count);
      this.past = [];
      this.future = [];
      this.kept = kept ?? this.full;
      this.#build();
    } else if (kept !== null && kept !== this.kept) {
      this.keep(kept);
      return;
    }
    if (!this.dialog.open) this.dialog.showModal();
    this.dialog.scrollTop = 0;
    this.#draw();
    this.blocks[this.active].focus({ preventScroll: true });
  }

  close() {
    if (this.dialog.open) this.dialog.close();
  }

  /** Keep these blocks, and remember those of before. */
  keep(kept) {
    if (kept === this.kept) return;
    this.past.push(this.kept);
    this.future = [];
    this.kept = kept;
    this.#draw();
  }

  #element(id) {
    return document.getElementById(id);
  }

  #step(from, to) {
    if (!from.length) return;
    to.push(this.kept);
    this.kept = from.pop();
    this.#draw();
  }

  /** The subset that a button or key stands for, or null where there is none. */
  #subset(name) {
    const important = this.photo.halves[this.rule.value] ?? null;
    const half = Math.floor(this.count / 2);
    switch (name) {
      case "all": return this.full;
      case "none": return 0;
      case "invert": return this.full ^ this.kept;
      case "important": return important;
      case "trivial": return important === null ? null : this.full ^ important;
      case "best": return this.sizes[half].best;
      case "worst": return this.sizes[this.count - half].worst;
      default: return null;
    }
  }

  #click({ target }) {
    const button = target.closest("button");
    if (!button) return;
    const { block, keep, subset, step, go } = button.dataset;
    if (block !== undefined) {
      this.#activate(Number(block));
      this.keep(this.kept ^ (1 << Number(block)));
    } else if (subset !== undefined) this.keep(Number(subset));
    else if (keep !== undefined) this.#keepNamed(keep);
    else if (step === "undo") this.#step(this.past, this.future);
    else if (step === "redo") this.#step(this.future, this.past);
    else if (go !== undefined) this.go(Number(go));
    else if ("close" in button.dataset) this.close();
  }

  #keepNamed(name) {
    const subset = this.#subset(name);
    if (subset !== null) this.keep(subset);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select, input")) return;
    const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    const named = { a: "all", n: "none", i: "invert", h: "important", t: "trivial", b: "best", w: "worst" };
    if (event.key in moves && event.target.dataset.block !== undefined) this.#move(...moves[event.key]);
    else if (event.key in named) this.#keepNamed(named[event.key]);
    else if (event.key === "u") this.#step(this.past, this.future);
    else if (event.key === "r") this.#step(this.future, this.past);
    else if (event.key === "," || event.key === ".") this.go(event.key === "," ? -1 : 1);
    else return;
    event.preventDefault();
  }

  #move(down, right) {
    const row = Math.floor(this.active / this.data.columns) + down;
    const column = (this.active % this.data.columns) + right;
    if (row < 0 || row >= this.data.rows || column < 0 || column >= this.data.columns) return;
    this.#activate(row * this.data.columns + column);
    this.blocks[this.active].focus();
  }

  /** Make a block the one that Tab comes to. */
  #activate(block) {
    this.active = block;
    this.blocks.forEach((button, each) => { button.tabIndex = each === block ? 0 : -1; });
  }

  #place(block) {
    return `row ${Math.floor(block / this.data.columns) + 1} column ${(block % this.data.columns) + 1}`;
  }

  /** Everything that stays while blocks are switched. */
  #build() {
    const { data, photo, entry } = this;
    this.#element("explorer-name").firstElementChild.textContent = entry.name;
    const facts = [data.dataset, entry.split && `split ${entry.split}`, `${data.rows}\u00a0×\u00a0${data.columns} blocks`];
    this.#element("explorer-facts").textContent = facts.filter(Boolean).join(" · ");
    this.#element("explorer-synthetic").hidden = !data.synthetic;
    const picture = this.#element("explorer-picture");
    picture.hidden = !photo.picture;
    picture.alt = `Photo ${entry.name}`;
    if (photo.picture) picture.src = photo.picture;
    else picture.removeAttribute("src");
    const note = this.#element("explorer-note");
    note.hidden = !photo.note;
    note.textContent = photo.picture ? photo.note : `No picture: ${photo.note}`;
    const box = this.#element("blocks");
    box.parentElement.style.setProperty("--shape", (photo.shape[1] || 4) / (photo.shape[0] || 3));
    box.parentElement.classList.toggle("without-picture", !photo.picture);
    box.style.gridTemplate = `repeat(${data.rows}, 1fr) / repeat(${data.columns}, 1fr)`;
    this.blocks = Array.from({ length: this.count }, (_, block) => {
      const button = make("button", { type: "button" }, make("span", { className: "tint" }), make("span", { className: "said" }));
      button.dataset.block = block;
      return button;
    });
    box.replaceChildren(...this.blocks);
    this.#activate(0);
    this.#fillRules();
    this.#fillOverlays();
    this.#fillValues();
    this.#fillSizes();
    this.#fillLevels();
  }

  #fillRules() {
    const chosen = this.data.rules.includes(this.rule.value) ? this.rule.value : this.data.rule;
    const name = (rule) => (rule === this.data.rule ? `${rule} (default)` : rule);
    this.rule.replaceChildren(...this.data.rules.map((rule) => make("option", { value: rule, textContent: name(rule) })));
    this.rule.value = chosen;
    this.#drawRule();
  }

  #fillOverlays() {
    const chosen = this.overlay.value;
    const { shapley, importance, measures } = this.photo;
    this.layers = new Map([["nothing", null], ["Shapley values", shapley]]);
    for (const [rule, values] of Object.entries(importance)) this.layers.set(`importance by ${rule}`, values);
    for (const [name, means] of Object.entries(measures)) this.layers.set(name, means);
    if (this.entry.damage) {
      this.layers.set("planted damage", this.blocks.map((_, block) => (this.entry.damage >> block) & 1));
    }
    this.overlay.replaceChildren(...[...this.layers.keys()].map((name) => make("option", { value: name, textContent: name })));
    this.overlay.value = this.layers.has(chosen) ? chosen : "nothing";
    this.#drawOverlay();
  }

  #fillValues() {
    const values = this.photo.shapley;
    const largest = Math.max(...values.map(Math.abs)) || 1;
    const order = values.map((_, block) => block).sort((a, b) => Math.abs(values[b]) - Math.abs(values[a]) || a - b);
    this.#element("values").replaceChildren(...order.map((block) => {
      const bar = make("span", { className: `bar ${values[block] < 0 ? "down" : "up"}` });
      bar.style.setProperty("--part", Math.abs(values[block]) / largest);
      return make("li", {}, make("span", { textContent: this.#place(block) }), bar,
        make("span", { className: "number", textContent: sayBriefly(values[block], true) }));
    }));
  }

  #fillSizes() {
    const { digits } = this.data;
    const cell = (kept, words) => {
      const mini = make("span", { className: "mini", ariaHidden: "true" });
      mini.style.gridTemplate = `repeat(${this.data.rows}, 1fr) / repeat(${this.data.columns}, 1fr)`;
      mini.append(...this.blocks.map((_, block) => make("i", { className: (kept >> block) & 1 ? "kept" : "" })));
      const text = say(this.scores[kept], digits);
      const button = make("button", { type: "button", className: "quiet" }, mini, make("span", { className: "number", textContent: text }));
      button.setAttribute("aria-label", `Keep the ${words}: score ${text}`);
      button.dataset.subset = kept;
      return make("td", {}, button);
    };
    this.#element("sizes").replaceChildren(...this.sizes.map(({ best, worst }, size) => make("tr", {},
      make("th", { scope: "row", textContent: `${size}` }), cell(best, `best ${size} blocks`), cell(worst, `worst ${size} blocks`))));
  }

  #fillLevels() {
    const { levels } = this.photo;
    this.#element("levels-part").hidden = !levels.length;
    this.#element("levels").replaceChildren(...levels.map((share, level) => {
      const bar = make("span", { className: "bar" });
      bar.style.setProperty("--part", share);
      return make("li", {}, make("span", { textContent: this.data.levels[level] }), bar,
        make("span", { className: "number", textContent: `${(100 * share).toFixed(0)}%` }));
    }).reverse());
  }

  /** What hangs on the chosen rule: its halves, and the scores with them set to zero. */
  #drawRule() {
    const important = this.#subset("important");
    for (const name of ["important", "trivial"]) {
      this.dialog.querySelector(`[data-keep=${name}]`).disabled = important === null;
    }
    const note = this.#element("rule-note");
    note.hidden = important !== null;
    note.textContent = `${this.rule.value} gives this photo no half.`;
    const models = Object.entries(this.photo.zeroed[this.rule.value] ?? {});
    this.#element("zeroed-part").hidden = !models.length;
    this.#element("zeroed").replaceChildren(...models.map(([model, scores]) => make("tr", {},
      make("th", { scope: "row", textContent: model }),
      ...scores.map((score) => make("td", { className: "number", textContent: say(score, this.data.digits) })))));
  }

  #drawOverlay() {
    const name = this.overlay.value;
    const values = this.layers.get(name) ?? null;
    const largest = values === null ? 1 : Math.max(...values.map(Math.abs)) || 1;
    this.blocks.forEach((button, block) => {
      const value = values === null ? null : values[block];
      const [tint, said] = button.children;
      tint.style.opacity = value === null ? 0 : (0.5 * Math.abs(value)) / largest;
      tint.classList.toggle("down", value < 0);
      said.textContent = name === "planted damage" ? (value ? "damaged" : "") : sayBriefly(value, name === "Shapley values");
    });
    this.#nameBlocks();
  }

  /** What a screen reader says of the blocks: place, value of the overlay; whether one is kept is its pressed state. */
  #nameBlocks() {
    this.blocks.forEach((button, block) => {
      const value = button.children[1].textContent;
      button.setAttribute("aria-label", `block ${this.#place(block)}${value ? `, ${value}` : ""}`);
    });
  }

  /** Everything that hangs on which blocks are kept. */
  #draw() {
    const { data, entry, kept, scores, full } = this;
    const score = scores[kept];
    const change = score - scores[full];
    const size = countBits(kept);
    this.blocks.forEach((button, block) => {
      const on = Boolean((kept >> block) & 1);
      button.setAttribute("aria-pressed", on);
    });
    this.#nameBlocks();
    const place = Math.min(1, Math.max(0, (score - data.low) / (data.high - data.low)));
    const level = Math.round(4 * place);
    this.#element("score").textContent = say(score, data.digits);
    this.#element("level").textContent = `${data.levels[level]} (${level + 1} of 5)`;
    this.#element("change").textContent = kept === full ? "none, this is the whole photo" : say(change, data.digits, true);
    this.#element("kept").textContent = `${size} of ${this.count}`;
    this.#element("whole").textContent = say(scores[full], data.digits);
    this.#element("mos").textContent = entry.mos === null ? "no scores" : say(entry.mos, data.digits);
    this.#element("scale-low").textContent = `${data.low} bad`;
    this.#element("scale-high").textContent = `excellent ${data.high}`;
    const marks = { now: score, whole: scores[full], mos: entry.mos };
    for (const [name, value] of Object.entries(marks)) {
      const mark = this.#element("scale").querySelector(`.${name}`);
      mark.hidden = value === null || value < data.low || value > data.high; // MOS of another scale than the model's
      const share = Math.min(1, Math.max(0, (value - data.low) / (data.high - data.low)));
      mark.style.left = `${100 * share}%`;
    }
    for (const button of this.dialog.querySelectorAll("[data-keep]:not([data-keep=invert])")) {
      button.classList.toggle("current", this.#subset(button.dataset.keep) === kept);
    }
    this.dialog.querySelector("[data-step=undo]").disabled = !this.past.length;
    this.dialog.querySelector("[data-step=redo]").disabled = !this.future.length;
    for (const button of this.dialog.querySelectorAll("[data-subset]")) {
      button.classList.toggle("current", Number(button.dataset.subset) === kept);
    }
    this.#announce(score, change, size);
    this.changed(entry, kept);
  }

  #announce(score, change, size) {
    const { digits } = this.data;
    const against = change === 0 ? "as the whole photo" : `${say(Math.abs(change), digits)} ${change < 0 ? "below" : "above"} the whole photo`;
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => {
      this.#element("explorer-said").textContent = `Score ${say(score, digits)}, ${against}, ${size} of ${this.count} blocks kept.`;
    }, 150);
  }
}
