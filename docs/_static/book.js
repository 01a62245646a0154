// Tables scroll inside their own box, so that no page is wider than a phone, and no column is too thin to read.
document.addEventListener("DOMContentLoaded", () => {
  for (const cell of document.querySelectorAll("article :is(td, th)")) {
    const length = cell.textContent.trim().length;
    if (length > 12) cell.classList.add(length > 40 ? "sentence" : "words");
    for (const code of cell.querySelectorAll("code")) {
      if (code.textContent.length <= 24) code.classList.add("name");
    }
  }
  for (const table of document.querySelectorAll("article table")) {
    if (table.closest(".pst-scrollable-table-container, .scroll")) continue;
    const box = document.createElement("div");
    box.className = "scroll";
    box.tabIndex = 0;
    table.replaceWith(box);
    box.append(table);
  }
});
