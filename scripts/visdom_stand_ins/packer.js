// Stands in for the packer of windows on Visdom's page: places boxes on shelves, left to right, first shelf that fits.
(function () {
  'use strict';

  function ShelfFirst(content, width) {
    this.content = content;
    this.width = width;
  }

  // Where box number `index` lies when all boxes up to it are placed in order on shelves of `width`.
  ShelfFirst.prototype.position = function (index, width) {
    var shelves = [];
    var place = { x: 0, y: 0 };
    for (var number = 0; number <= index; number += 1) {
      var box = this.content[number];
      if (!box) break;
      place = ShelfFirst.place(shelves, box, width || this.width);
    }
    return place;
  };

  ShelfFirst.place = function (shelves, box, width) {
    var last = shelves[shelves.length - 1];
    var fitting = shelves.find(function (shelf) {
      return shelf.used + box.width <= width && (box.height <= shelf.height || shelf === last);
    });
    if (!fitting) {
      fitting = { y: last ? last.y + last.height : 0, used: 0, height: 0 };
      shelves.push(fitting);
    }
    var place = { x: fitting.used, y: fitting.y };
    fitting.used += box.width;
    fitting.height = Math.max(fitting.height, box.height);
    return place;
  };

  window.Bin = { ShelfFirst: ShelfFirst };
})();
