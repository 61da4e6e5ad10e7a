/* The gallery of one data set: cards that link to the explorer, filters, and the order. Pictures in view are there when
   the page is; the others come when their card nears the window, or when nothing else is to do, so that a page that is
   captured whole has them too; and all at once for paper. */

const NEAR = 400; // pixels from the window

class Gallery {
  constructor(number, data, readPhoto) {
    this.data = data;
    this.form = document.querySelector(`form[data-gallery="${number}"]`);
    this.list = document.getElementById(`gallery-${number}`);
    this.shown = data.photos.map((_, index) => index);
    this.#fillForm();
    this.readPhoto = readPhoto;
    this.observer = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) if (isIntersecting) this.#fill(target);
    }, { rootMargin: `${NEAR}px` });
    this.cards = data.photos.map((photo, index) => this.#card(photo, index));
    this.waiting = new Set(this.cards); // without their picture yet
    for (const card of this.cards) this.observer.observe(card);
    this.form.addEventListener("input", ({ target }) => {
      if (target.name === "sort") this.#suitOrder(target.value);
      this.arrange();
    });
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.arrange();
    this.#fillInIdleTime();
  }

  /** Give a card its picture. */
  #fill(card) {
    if (!this.waiting.delete(card)) return;
    this.observer.unobserve(card);
    const photo = this.readPhoto(Number(card.dataset.photo));
    const image = card.querySelector("img");
    if (photo.picture) image.src = photo.picture;
    else image.replaceWith(make("span", { className: "no-picture", textContent: "no picture" }));
  }

  /** The pictures in and near the window, without waiting for the next frame: who captures the page may not wait. */
  fillInView() {
    const near = (card) => {
      const { top, bottom, width } = card.getBoundingClientRect();
      return width > 0 && bottom > -NEAR && top < innerHeight + NEAR;
    };
    for (const card of [...this.waiting].filter(near)) this.#fill(card);
  }

  fillAll() {
    for (const card of this.waiting) this.#fill(card);
  }

  #fillInIdleTime() {
    const idle = window.requestIdleCallback ?? ((work) => setTimeout(() => work({ timeRemaining: () => 0 }), 50));
    idle((deadline) => {
      for (const card of this.waiting) {
        this.#fill(card);
        if (deadline.timeRemaining() < 5) break;
      }
      if (this.waiting.size) this.#fillInIdleTime();
    });
  }

  #fillForm() {
    const { photos } = this.data;
    const fields = this.form.elements;
    const splits = [...new Set(photos.map((photo) => photo.split).filter(Boolean))];
    fields.split.append(...splits.map((split) => make("option", { value: split, textContent: split })));
    fields.split.closest("label").hidden = splits.length === 0;
    fields.damage.closest("label").hidden = !photos.some((photo) => photo.damage);
    const scored = photos.some((photo) => photo.mos !== null);
    const sorts = [["gap", "gap between halves"], ["score", "model's score"]];
    if (scored) sorts.push(["mos", "MOS"], ["error", "error: score less MOS"]);
    sorts.push(["name", "name"]);
    fields.sort.append(...sorts.map(([value, textContent]) => make("option", { value, textContent })));
  }

  /** Names are read from A on, numbers from the highest. */
  #suitOrder(sort) {
    const { order } = this.form.elements;
    const words = sort === "name" ? ["Z to A", "A to Z"] : ["highest first", "lowest first"];
    [...order.options].forEach((option, each) => { option.textContent = words[each]; });
    order.value = sort === "name" ? "up" : "down";
  }

  #card(photo, index) {
    const { digits } = this.data;
    const numbers = [`score ${say(photo.score, digits)}`];  // one element each, so that lines break between them
    if (photo.mos !== null) numbers.push(`MOS ${say(photo.mos, digits)}`);
    if (photo.gap !== null) numbers.push(`gap ${say(photo.gap, digits, true)}`);
    const link = make(
      "a", { href: stateLink({ photo: photo.id, data: this.data.dataset }), title: photo.name },
      make("img", { alt: "", decoding: "sync", width: 4, height: 3 }),
      make("span", { className: "name" }, make("bdi", { textContent: photo.name })),
      make("span", { className: "numbers" }, ...numbers.map((textContent) => make("span", { textContent }))),
    );
    if (photo.split) link.append(make("span", { className: "split", textContent: photo.split }));
    const card = make("li", {}, link);
    card.dataset.photo = index;
    return card;
  }

  /** Show what the form asks for, in its order. */
  arrange() {
    const fields = this.form.elements;
    const text = fields.text.value.trim().toLowerCase();
    const wanted = ({ name, split, damage }) =>
      name.toLowerCase().includes(text) &&
      (!fields.split.value || split === fields.split.value) &&
      (!fields.damage.value || Boolean(damage) === (fields.damage.value === "yes"));
    const direction = fields.order.value === "up" ? 1 : -1;
    const keys = this.data.photos.map((photo) => Gallery.#key(photo, fields.sort.value));
    this.shown = this.data.photos.map((_, index) => index).filter((index) => wanted(this.data.photos[index]));
    this.shown.sort((a, b) => {
      // Photos without the number come last in either order.
      if (keys[a] === null || keys[b] === null) return (keys[a] === null) - (keys[b] === null) || a - b;
      const order = typeof keys[a] === "string" ? keys[a].localeCompare(keys[b]) : keys[a] - keys[b];
      return direction * order || a - b;
    });
    this.list.replaceChildren(...this.shown.map((index) => this.cards[index]));
    this.form.querySelector(".count").textContent = `${this.shown.length} of ${this.data.photos.length} photos`;
  }

  static #key(photo, sort) {
    if (sort === "error") return photo.mos === null ? null : Math.abs(photo.score - photo.mos);
    return photo[sort];
  }
}
