// Tables that are sorted and filtered in the browser, and the edges of those that scroll. The address holds what was chosen.
//
// A table of which all rows are on the page: <table data-sortable>. Where a page has several, data-sortable names each; the name
// goes before its keys in the address (?cells.sort=-mean). Lists that go on on another page are sorted by the server instead.
//   data-filter="Find an estimator"  on the table: a box above it keeps the rows that have all of its words.
//   On a header of the last row of the head:
//     data-column="bias"             its name in the address; else made from its text. data-title: its name in lists, likewise.
//     data-sort="none"               does not sort; "descending": the first press brings the largest up.
//     data-choices                   a list above the table keeps the rows with one of this column's values.
//   On a cell: data-value="0.25"     what it is sorted by, a number or a text, else its text; empty, or –, is last in either direction.
// With several tbody each is a row, with the lines that belong to it. A third press brings back the order of the server.
// Rows and tables that a script puts in later are taken up by themselves.
"use strict";
(() => {
  const words = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const number = (text) => Number(text.replace("−", "-").replaceAll(",", ""));
  const slug = (text) => text.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "");

  const read = (key) => new URLSearchParams(location.search).get(key) ?? "";
  const write = (key, value) => {
    const url = new URL(location.href);
    if (value) url.searchParams.set(key, value);
    else url.searchParams.delete(key);
    history.replaceState(history.state, "", url);
  };

  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };

  class Column {
    constructor(header, place) {
      this.header = header;
      this.place = place;
      this.title = header.dataset.title ?? header.innerText.trim();
      this.name = header.dataset.column ?? slug(this.title);
      this.sorts = this.title !== "" && header.dataset.sort !== "none";
      this.first = header.dataset.sort === "descending" ? -1 : 1;
    }

    // The cell of a row, or of the first line of a tbody.
    cell(row) {
      let place = 0;
      for (const cell of (row.rows?.[0] ?? row).cells) {
        if (place === this.place) return cell;
        place += cell.colSpan;
      }
      return null;
    }

    text(row) {
      const cell = this.cell(row);
      const said = cell?.dataset.value ?? cell?.innerText.trim() ?? "";
      return said === "–" ? "" : said;
    }
  }

  class SortedTable {
    constructor(table) {
      this.table = table;
      this.prefix = table.dataset.sortable ? `${table.dataset.sortable}.` : "";
      let place = 0;
      this.columns = [...table.tHead.rows[table.tHead.rows.length - 1].cells].map((header) => {
        const column = new Column(header, place);
        place += header.colSpan;
        return column;
      });
      this.takeRows();
      this.sorted = this.parse(read(`${this.prefix}sort`));
      this.makeTools();
      for (const column of this.columns) if (column.sorts) this.makeButton(column);
      this.show();
    }

    // In the order of the server, those that came later last.
    takeRows() {
      const bodies = [...this.table.tBodies];
      const there = bodies.length > 1 ? bodies : [...(bodies[0]?.rows ?? [])];
      const old = (this.rows ?? []).filter((row) => there.includes(row));
      this.rows = [...old, ...there.filter((row) => !old.includes(row))];
    }

    parse(text) {
      const column = this.columns.find((one) => one.sorts && one.name === text.replace(/^-/, ""));
      return column ? { column, direction: text.startsWith("-") ? -1 : 1 } : null;
    }

    get order() {
      return this.sorted ? `${this.sorted.direction < 0 ? "-" : ""}${this.sorted.column.name}` : "";
    }

    makeButton(column) {
      const button = make("button", { type: "button", className: "sort" }, ...column.header.childNodes);
      button.addEventListener("click", () => this.press(column));
      column.header.replaceChildren(button);
    }

    // First direction, the other one, as the server had it.
    press(column) {
      const now = this.sorted?.column === column ? this.sorted.direction : 0;
      const next = now === 0 ? column.first : now === column.first ? -column.first : 0;
      this.choose(next ? { column, direction: next } : null);
    }

    choose(sorted) {
      this.sorted = sorted;
      write(`${this.prefix}sort`, this.order);
      this.show();
    }

    makeTools() {
      this.tools = make("div", { className: "bar tools" });
      this.tools.setAttribute("role", "search");
      this.tools.setAttribute("aria-label", this.table.caption?.innerText.trim() ?? "Rows");
      this.filters = [];
      if (this.table.dataset.filter !== undefined) this.makeBox();
      for (const column of this.columns) if (column.header.dataset.choices !== undefined) this.makeChoices(column);
      this.makeOrders();
      this.tools.classList.toggle("narrow", !this.filters.length); // headers sort on wide screens
      this.counted = make("span", { className: "counted" });
      this.counted.setAttribute("role", "status");
      this.all = make("button", { type: "button", className: "button", textContent: "Show all" });
      this.all.addEventListener("click", () => this.clear());
      this.tools.append(this.counted, this.all);
      (this.table.closest(".card") ?? this.table).before(this.tools);
    }

    // A field whose value is kept in the address; `fits` says whether a row has it.
    addFilter(key, field, fits) {
      field.value = read(this.prefix + key);
      field.addEventListener("input", () => {
        write(this.prefix + key, field.value.trim());
        this.show();
      });
      this.filters.push({ key, field, fits });
    }

    makeBox() {
      const box = make("input", { type: "search", className: "field", placeholder: this.table.dataset.filter, ariaLabel: this.table.dataset.filter });
      this.tools.append(box);
      this.addFilter("find", box, (row, text) => {
        const said = row.textContent.toLowerCase();
        return text.toLowerCase().split(/\s+/).every((word) => said.includes(word));
      });
    }

    makeChoices(column) {
      const values = [...new Set(this.rows.map((row) => column.text(row)).filter(Boolean))].sort(words.compare);
      const list = make("select", { className: "field", ariaLabel: column.title }, new Option("all", ""), ...values.map((value) => new Option(value)));
      this.tools.append(make("label", {}, column.title, " ", list));
      this.addFilter(column.name, list, (row, text) => column.text(row) === text);
    }

    // Where rows are cards there are no headers to press.
    makeOrders() {
      const orders = this.columns.filter((column) => column.sorts).flatMap(({ title, name }) => [
        new Option(`${title}, upwards`, name),
        new Option(`${title}, downwards`, `-${name}`),
      ]);
      this.orders = make("select", { className: "field", ariaLabel: "Sort by" }, new Option("as given", ""), ...orders);
      this.orders.addEventListener("change", () => this.choose(this.parse(this.orders.value)));
      this.tools.append(make("label", { className: "narrow" }, "Sort by ", this.orders));
    }

    clear() {
      for (const { key, field } of this.filters) {
        field.value = "";
        write(this.prefix + key, "");
      }
      this.show();
      this.filters[0]?.field.focus();
    }

    inOrder() {
      if (!this.sorted) return this.rows;
      const { column, direction } = this.sorted;
      const keyed = this.rows.map((row) => ({ row, text: column.text(row) }));
      const known = keyed.filter(({ text }) => text !== "");
      const numeric = known.every(({ text }) => !Number.isNaN(number(text)));
      const compare = numeric ? (a, b) => number(a.text) - number(b.text) : (a, b) => words.compare(a.text, b.text);
      known.sort((a, b) => direction * compare(a, b));
      return [...known, ...keyed.filter(({ text }) => text === "")].map(({ row }) => row);
    }

    // What is in its place already is not moved: that would take the focus from it.
    place(rows) {
      const parent = rows[0]?.parentNode;
      const now = [...(parent?.children ?? [])].filter((child) => rows.includes(child));
      if (now.some((row, at) => row !== rows[at])) parent.append(...rows);
    }

    show() {
      const used = this.filters.filter(({ field }) => field.value.trim());
      for (const row of this.rows) row.hidden = !used.every(({ field, fits }) => fits(row, field.value.trim()));
      this.place(this.inOrder());
      for (const { header } of this.columns) header.removeAttribute("aria-sort");
      this.sorted?.column.header.setAttribute("aria-sort", this.sorted.direction < 0 ? "descending" : "ascending");
      this.orders.value = this.order;
      const left = this.rows.filter((row) => !row.hidden).length;
      this.counted.textContent = used.length ? `${left || "none"} of ${this.rows.length}` : "";
      this.all.hidden = !used.length;
      watcher.takeRecords(); // rows that were moved just now are no news
    }

    // A script has put other rows in.
    refresh() {
      this.takeRows();
      this.show();
    }
  }

  // Whether a card's table fits, and on which sides more of it is hidden.
  const watchEdges = (card) => {
    const table = card.querySelector(":scope > table");
    const look = () => {
      const wide = table.offsetWidth > card.clientWidth + 1;
      card.classList.toggle("scrolls", wide);
      card.classList.toggle("fits", !wide);
      card.classList.toggle("from-left", wide && card.scrollLeft > 1);
      card.classList.toggle("to-right", wide && card.scrollLeft + card.clientWidth < card.scrollWidth - 1);
    };
    card.addEventListener("scroll", look, { passive: true });
    const sizes = new ResizeObserver(look);
    sizes.observe(card);
    sizes.observe(table);
    look();
  };

  const known = new WeakMap();
  const take = () => {
    for (const table of document.querySelectorAll("table[data-sortable]"))
      if (!known.has(table) && table.tHead) known.set(table, new SortedTable(table));
    for (const card of document.querySelectorAll(".card:has(> table)"))
      if (!known.has(card)) known.set(card, watchEdges(card));
    watcher.takeRecords();
  };
  const watcher = new MutationObserver((records) => {
    take();
    const changed = new Set(records.map(({ target }) => target.closest?.("table")));
    for (const table of changed) known.get(table)?.refresh();
  });
  take();
  watcher.observe(document.getElementById("main"), { childList: true, subtree: true });
})();
