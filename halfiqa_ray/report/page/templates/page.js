/* The page: data sets, light and dark, and the explorer's state in the address (#photo=...&kept=...). */

/** A link to a state of the explorer. The data set is named where the page has several. */
function stateLink({ photo, kept, data }) {
  const parts = [`photo=${encodeURIComponent(photo)}`];
  if (kept !== undefined) parts.push(`kept=${kept}`);
  if (dataSets.length > 1) parts.push(`data=${encodeURIComponent(data)}`);
  return `#${parts.join("&")}`;
}

const dataSets = [...document.querySelectorAll('script[id^="data-"]')].map((block) => JSON.parse(block.textContent));
const readPhoto = (data, photo) => JSON.parse(document.getElementById(`photo-${data}-${photo}`).textContent);
const galleries = dataSets.map((data, number) => new Gallery(number, data, (photo) => readPhoto(number, photo)));
const sections = [...document.querySelectorAll("section.dataset")];
const tabs = [...document.querySelectorAll(".tabs a")];
let current = 0;

const explorer = new Explorer((entry, kept) => {
  // Without a new entry in the history for every block.
  const state = entry ? stateLink({ photo: entry.id, kept, data: dataSets[current].dataset }) : location.pathname + location.search;
  if (entry || location.hash.startsWith("#photo=")) history.replaceState(null, "", state);
});

function showDataSet(number) {
  current = number;
  sections.forEach((section, each) => { section.hidden = each !== number; });
  tabs.forEach((tab, each) => {
    if (each === number) tab.setAttribute("aria-current", "true");
    else tab.removeAttribute("aria-current");
  });
  galleries[number].fillInView();
}

function openPhoto(number, photo, kept) {
  showDataSet(number);
  const data = dataSets[number];
  const order = galleries[number].shown.includes(photo) ? galleries[number].shown : data.photos.map((_, index) => index);
  const go = (step) => openPhoto(number, order[(order.indexOf(photo) + step + order.length) % order.length], null);
  explorer.open(data, readPhoto(number, photo), data.photos[photo], kept, order, go);
}

/** Go where the address says: to a photo, or to a part of a data set. */
function follow() {
  const state = new URLSearchParams(location.hash.slice(1));
  if (!state.has("photo")) {
    explorer.close();
    const target = document.getElementById(location.hash.slice(1));
    const section = target?.closest("section.dataset");
    if (section) {
      showDataSet(sections.indexOf(section));
      if (target !== section) target.scrollIntoView();
    }
    return;
  }
  const wanted = state.get("data");
  const number = wanted === null
    ? dataSets.findIndex((data) => data.photos.some((photo) => photo.id === state.get("photo")))
    : dataSets.findIndex((data) => data.dataset === wanted);
  const photo = number < 0 ? -1 : dataSets[number].photos.findIndex((one) => one.id === state.get("photo"));
  if (photo < 0) {
    explorer.close();
    document.getElementById("not-found").hidden = false;
    document.getElementById("not-found").textContent = `This page has no photo ${state.get("photo")}.`;
    return;
  }
  document.getElementById("not-found").hidden = true;
  const data = dataSets[number];
  const kept = /^\d{1,6}$/.test(state.get("kept") ?? "") ? Number(state.get("kept")) : null;
  openPhoto(number, photo, kept !== null && kept < 2 ** (data.rows * data.columns) ? kept : null);
}

document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});

/** Paper shows every photo of the data set that is open. */
function fillForPaper() {
  galleries[current].fillAll();
}

addEventListener("beforeprint", fillForPaper);
matchMedia("print").addEventListener("change", ({ matches }) => { if (matches) fillForPaper(); });
addEventListener("resize", () => galleries[current].fillInView());
addEventListener("hashchange", follow);
showDataSet(0);
follow();
if (matchMedia("print").matches) fillForPaper();
