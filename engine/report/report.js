'use strict';
// Values under the pointer: of curves and of the confusion matrix; tables that sort.
(() => {
  const tip = document.getElementById('tip');
  const digits = v => String(Number(v.toPrecision(4)));
  const seconds = v =>
    Math.abs(v) < 0.1 ? digits(v * 1e3) + ' ms' : v < 180 ? digits(v) + ' s'
      : v < 10800 ? digits(v / 60) + ' min' : digits(v / 3600) + ' h';
  const units = {
    number: digits,
    percent: v => digits(v * 100) + '%',
    bytes: v => v < 1e9 ? digits(v / 1e6) + ' MB' : digits(v / 1e9) + ' GB',
    seconds,
  };
  const show = (event, text) => {
    tip.textContent = text;
    tip.hidden = false;
    const fits = event.clientX + 14 + tip.offsetWidth <= innerWidth;
    const left = fits ? event.clientX + 14 : event.clientX - 14 - tip.offsetWidth;
    tip.style.left = Math.max(4, left) + 'px';
    tip.style.top = Math.max(4, event.clientY - tip.offsetHeight - 10) + 'px';
  };
  // Where the pointer is in the drawing's own units.
  const place = (svg, event) =>
    new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());

  for (const svg of document.querySelectorAll('.chart svg')) {
    const [x0, x1, y0, y1] = svg.dataset.frame.split(' ').map(Number);
    const [left, right, top, bottom] = svg.dataset.box.split(' ').map(Number);
    const keys = svg.parentElement.querySelectorAll('.key, figcaption');
    const names = [...keys].slice(keys.length > 1).map(k => k.textContent);
    const curves = [...svg.querySelectorAll('polyline')].map(
      line => line.getAttribute('points').split(' ').map(p => p.split(',').map(Number)));
    const cross = document.createElementNS('http://www.w3.org/2000/svg', 'line');
    cross.setAttribute('class', 'cross');
    cross.setAttribute('y1', top);
    cross.setAttribute('y2', bottom);
    const x = v => x0 + (v - left) / (right - left) * (x1 - x0);
    const y = v => y0 + (bottom - v) / (bottom - top) * (y1 - y0);
    svg.addEventListener('pointermove', event => {
      const at = place(svg, event).x;
      const nearest = curves.map(
        c => c.reduce((a, b) => Math.abs(b[0] - at) < Math.abs(a[0] - at) ? b : a));
      const px = nearest.reduce((a, b) => Math.abs(b[0] - at) < Math.abs(a[0] - at) ? b : a)[0];
      cross.setAttribute('x1', px);
      cross.setAttribute('x2', px);
      svg.append(cross);
      const lines = nearest.map((p, i) => names[i] + '  ' + units[svg.dataset.unit](y(p[1])));
      const {x: name, xunit} = svg.dataset;
      const where = xunit === 'number' ? String(Math.round(x(px))) : units[xunit](x(px));
      show(event, name + ' ' + where + '\n' + lines.join('\n'));
    });
    svg.addEventListener('pointerleave', () => { cross.remove(); tip.hidden = true; });
  }

  const map = document.getElementById('confusion');
  if (map) {
    const {classes, cells} = JSON.parse(document.getElementById('confusion-data').textContent);
    const counts = new Map(), rows = classes.map(() => 0);
    for (let i = 0; i < cells.length; i += 3) {
      counts.set(cells[i] * classes.length + cells[i + 1], cells[i + 2]);
      rows[cells[i]] += cells[i + 2];
    }
    const side = Number(map.dataset.cell), said = document.getElementById('confusion-at');
    map.addEventListener('pointermove', event => {
      const p = place(map, event), row = Math.floor(p.y / side), column = Math.floor(p.x / side);
      if (!(row in classes) || !(column in classes)) { tip.hidden = true; return; }
      const count = counts.get(row * classes.length + column) || 0;
      const text = `${count} of ${rows[row]} videos of ${classes[row]} taken for ${classes[column]}`;
      show(event, text);
      said.textContent = text;
    });
    map.addEventListener('pointerleave', () => { tip.hidden = true; });
  }

  for (const table of document.querySelectorAll('table.sortable')) {
    const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
    heads.forEach((head, column) => {
      const sort = () => {
        const down = head.getAttribute('aria-sort') === 'ascending';
        const key = row => row.cells[column].textContent;
        const numbers = head.classList.contains('n');
        const order = numbers ? (a, b) => parseFloat(key(a)) - parseFloat(key(b))
          : (a, b) => key(a).localeCompare(key(b));
        // What holds no number comes last either way.
        const held = row => !numbers || !isNaN(parseFloat(key(row)));
        const all = [...body.rows], rows = all.filter(held).sort(order);
        if (down) rows.reverse();
        rows.push(...all.filter(row => !held(row)));
        heads.forEach(h => h.removeAttribute('aria-sort'));
        head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
        body.append(...rows);
      };
      head.tabIndex = 0;
      head.addEventListener('click', sort);
      head.addEventListener('keydown', event => { if (event.key === 'Enter') sort(); });
    });
  }
})();
