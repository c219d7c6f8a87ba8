// What the theme leaves out for screen readers and keyboards: a name for its search dialog, and tables and code that can be scrolled with keys.
document$.subscribe(() => {
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
  document.querySelectorAll(".md-typeset__scrollwrap, .md-typeset table, .md-typeset pre > code").forEach((part) => {
    if (part.scrollWidth > part.clientWidth) part.setAttribute("tabindex", "0");
  });
});
