// What is wider than the page scrolls; so that keys can do it, it takes the focus.
function focusable() {
  for (const it of document.querySelectorAll('.md-typeset__scrollwrap, .md-typeset math[display="block"]'))
    if (it.scrollWidth > it.clientWidth) it.setAttribute("tabindex", "0")
    else it.removeAttribute("tabindex")
}
addEventListener("load", focusable)
addEventListener("resize", focusable)
