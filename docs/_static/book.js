// Tables scroll inside their own box, so that no page is wider than a phone.
document.addEventListener("DOMContentLoaded", () => {
  for (const table of document.querySelectorAll("article table")) {
    if (table.closest(".pst-scrollable-table-container, .scroll")) continue;
    const box = document.createElement("div");
    box.className = "scroll";
    box.tabIndex = 0;
    table.replaceWith(box);
    box.append(table);
  }
});
