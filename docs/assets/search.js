// The index of the search weighs more than all else on a page. The theme asks for it at once; here the
// request waits until somebody looks for something.
(() => {
  const { open, send } = XMLHttpRequest.prototype
  const looked = new Promise(done => addEventListener("focusin", event => {
    if (event.target.matches('[data-md-component="search-query"]')) done()
  }))
  XMLHttpRequest.prototype.open = function (method, url, ...more) {
    this.late = String(url).endsWith("search_index.json")
    return open.call(this, method, url, ...more)
  }
  XMLHttpRequest.prototype.send = function (body) {
    if (this.late) looked.then(() => send.call(this, body))
    else send.call(this, body)
  }
})()
