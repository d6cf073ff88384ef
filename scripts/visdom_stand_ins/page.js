// Stands in for jQuery on Visdom's page where it could not be downloaded: the few calls that the page makes.
(function () {
  'use strict';

  function chosen(elements) {
    return {
      length: elements.length,
      ready: function (then) {
        if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', then);
        else then();
        return this;
      },
      attr: function (name, value) {
        elements.forEach(function (element) { element.setAttribute(name, value); });
        return this;
      },
      tooltip: function () { return this; },
    };
  }

  function $(what) {
    return chosen(typeof what === 'string' ? Array.from(document.querySelectorAll(what)) : [what]);
  }

  $.extend = Object.assign;

  $.post = function (address, data) {
    var form = typeof data === 'string' ? data : new URLSearchParams(data || {}).toString();
    var type = 'application/x-www-form-urlencoded; charset=UTF-8';
    var answer = fetch(address, { method: 'POST', body: form, headers: { 'Content-Type': type } })
      .then(function (response) { return response.text(); });
    answer.done = function (then) { answer.then(then); return answer; };
    return answer;
  };

  window.$ = window.jQuery = $;

  // The menu of views: Bootstrap opens it elsewhere.
  document.addEventListener('click', function (event) {
    var button = event.target.closest('[data-toggle="dropdown"]');
    document.querySelectorAll('.open').forEach(function (open) {
      if (!button || open !== button.parentNode) open.classList.remove('open');
    });
    if (button) button.parentNode.classList.toggle('open');
  });
})();
