// Stands in for Plotly where the Python package plotly is not installed: says so in the place of each plot.
window.Plotly = {
  newPlot: function (place, traces) {
    var box = typeof place === 'string' ? document.getElementById(place) : place;
    box.textContent = 'To see this plot (' + traces.map(function (trace) { return trace.name; }).join(', ') +
      '), stop the server, run "pip install plotly", and start it again.';
    box.style.cssText += 'padding: 24px; font-size: 14px; white-space: normal; box-sizing: border-box;';
  },
  downloadImage: function () {},
};
