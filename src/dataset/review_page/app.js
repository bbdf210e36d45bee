// The review page. Everything that comes from outside is put in as text, never as markup.
'use strict';

const el = id => document.getElementById(id);
const make = (tag, className, text) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
};

// ---- Where data comes from and decisions go: a server, or this very file. ----

async function ask(path, body) {
  const options = body === undefined ? {} :
    { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error('picchu review does not answer: start it again. Every decision so far is kept.');
  }
  const json = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(json.message || `the server answered ${answer.status}`);
  return json;
}

const served = {
  load: () => ask('api/dataset'),
  decide: decisions => ask('api/decide', decisions),
  undo: () => ask('api/undo', {}),
  lint: (record, caption) => ask('api/lint', { record, caption }).then(answer => answer.faults),
  recut: (record, rect) => ask('api/recut', { record, rect }),
  thresholds: () => ask('api/thresholds'),
  thumb: (number, version) => `image/${number}/small?v=${encodeURIComponent(version)}`,
  picture: (number, version) => `image/${number}/full?v=${encodeURIComponent(version)}`,
  frame: number => `frame/${number}`,
};

// One file: decisions are added up here, kept by the browser, and saved as a patch.
function embedded(data) {
  const place = 'picchu:' + data.view.film + ':' + (data.view.records[0]?.id ?? '') + ':' + data.view.records.length;
  const before = new Map(data.view.records.map(record => [record.id, structuredClone(record)]));
  let log = [];
  try { log = JSON.parse(localStorage.getItem(place)) || []; } catch { /* kept as long as the page is open */ }
  const keep = () => { try { localStorage.setItem(place, JSON.stringify(log)); } catch { /* as above */ } };
  // What one click decided has one time; so has what one click took back.
  const standing = () => {
    const batches = [];
    let time;
    for (const line of log) {
      if (line.time_ms !== time) {
        if (line.decision === 'undo') batches.pop(); else batches.push([line]);
      } else if (line.decision !== 'undo') batches.at(-1).push(line);
      time = line.time_ms;
    }
    return batches;
  };
  const of = id => {
    const record = structuredClone(before.get(id));
    const lines = [];
    for (const line of log.filter(line => line.record === id)) {
      if (line.decision === 'undo') lines.pop(); else lines.push(line);
    }
    for (const line of lines) {
      record.judgement = { ...(record.judgement || {}), rejected: null };
      if (line.decision === 'reject') record.judgement.rejected = line.reason;
      if (line.decision === 'edit') {
        record.judgement.caption = record.caption = line.caption;
        record.lint = [];
      }
      if (line.decision === 'rename') record.judgement.character = record.character = line.character;
      record.reviewed = true;
    }
    if (lines.length) {
      const chosen = ['kept', 'uncaptioned'].includes(record.outcome) || record.judgement.caption;
      record.training = Boolean(record.judgement.rejected === null && record.character && record.caption && chosen);
    }
    return record;
  };
  const changed = ids => ({ records: [...new Set(ids)].map(of), undoable: standing().length });
  const now = () => Math.max(Date.now(), (log.at(-1)?.time_ms ?? 0) + 1);
  const picture = number => 'data:image/jpeg;base64,' + data.pictures[number];
  return {
    load: async () => ({ ...data.view, records: data.view.records.map(record => of(record.id)), undoable: standing().length }),
    decide: async decisions => {
      const time_ms = now();
      log.push(...decisions.map(decision => ({ ...decision, reviewer: reviewer(), time_ms })));
      keep();
      return changed(decisions.map(decision => decision.record));
    },
    undo: async () => {
      const last = standing().at(-1);
      if (!last) return changed([]);
      const time_ms = now();
      log.push(...last.map(line => ({ record: line.record, decision: 'undo', reviewer: line.reviewer, time_ms })));
      keep();
      return changed(last.map(line => line.record));
    },
    lint: async () => [],
    thumb: picture,
    picture,
    patch: () => log.map(line => JSON.stringify(line) + '\n').join(''),
  };
}

let name;
function reviewer() {
  name ||= (prompt('Your name, for the log of decisions') || '').trim() || 'reviewer';
  return name;
}

// ---- What is shown. ----

let store;
let view;
let byId = new Map();
let shown = [];       // numbers of the records that the filter lets through
let at = 0;           // which of them has the focus
let anchor = null;    // where a selection by Shift began
const selected = new Set();

const CELL = { width: 200, height: 262, gap: 12 };
const SETTLED = { accepted: '✓', rejected: '✕' };

const status = record => record.judgement
  ? (record.judgement.rejected !== null && record.judgement.rejected !== undefined ? 'rejected' : record.reviewed ? 'accepted' : '')
  : '';
const inDataset = record => ['kept', 'uncaptioned'].includes(record.outcome) || record.training;

const FILTERS = {
  training: record => record.training,
  todo: record => inDataset(record) && !record.reviewed,
  unsure: record => record.outcome === 'unsure' && !record.character && status(record) !== 'rejected',
  lint: record => inDataset(record) && status(record) !== 'rejected' && (record.lint.length > 0 || !record.caption),
  rejected: record => status(record) === 'rejected',
  duplicate: record => record.outcome === 'duplicate',
  conflict: record => record.conflict,
  all: () => true,
};

const least = key => (a, b) => key(view.records[a]) - key(view.records[b]) || a - b;
const ORDERS = {
  film: (a, b) => a - b,
  blurred: least(record => record.image?.sharpness ?? -1),
  small: least(record => record.image ? record.image.rect.width * record.image.rect.height : -1),
  doubtful: least(record => record.confidence),
};

function refilter() {
  const wanted = FILTERS[el('filter').value];
  const character = el('character').value;
  const focus = shown[at];
  shown = [];
  view.records.forEach((record, number) => {
    if (wanted(record) && (!character || record.character === character)) shown.push(number);
  });
  shown.sort(ORDERS[el('order').value]);
  at = Math.max(0, shown.indexOf(focus));
  for (const number of selected) if (!shown.includes(number)) selected.delete(number);
  el('empty').hidden = shown.length > 0;
  draw();
}

function columns() {
  return Math.max(1, Math.floor((el('grid').clientWidth + CELL.gap) / (CELL.width + CELL.gap)));
}

// Only the cells in sight exist.
const cells = new Map();

function draw() {
  const grid = el('grid');
  const scroller = el('scroller');
  const across = columns();
  const row = CELL.height + CELL.gap;
  grid.style.height = Math.ceil(shown.length / across) * row + 'px';
  grid.setAttribute('aria-rowcount', Math.ceil(shown.length / across));
  const first = Math.max(0, Math.floor(scroller.scrollTop / row) - 1) * across;
  const last = Math.min(shown.length, (Math.ceil((scroller.scrollTop + scroller.clientHeight) / row) + 1) * across);
  const wanted = new Set();
  for (let place = first; place < last; place++) wanted.add(shown[place]);
  if (shown.length) wanted.add(shown[at]);
  for (const [number, cell] of cells) {
    if (wanted.has(number)) continue;
    // A picture that is still on its way would hold up what is asked next.
    cell.querySelector('img')?.removeAttribute('src');
    cell.remove();
    cells.delete(number);
  }
  for (let place = first; place < last; place++) put(place, across, row);
  if (shown.length && (at < first || at >= last)) put(at, across, row);
  el('count').textContent = `${shown.length} of ${view.records.length}`;
  el('selection').hidden = selected.size === 0;
  el('selected').textContent = `${selected.size} selected`;
}

function put(place, across, row) {
  const number = shown[place];
  const record = view.records[number];
  let cell = cells.get(number);
  const look = JSON.stringify([record.image?.version, record.character, record.caption, status(record), record.lint.length, record.conflict]);
  if (!cell || cell.dataset.look !== look) {
    const fresh = face(number, record);
    fresh.dataset.look = look;
    if (cell) {
      const focused = cell === document.activeElement;
      cell.replaceWith(fresh);
      if (focused) { cells.set(number, fresh); fresh.tabIndex = 0; fresh.focus({ preventScroll: true }); }
    } else el('grid').append(fresh);
    cells.set(number, cell = fresh);
  }
  cell.style.left = (place % across) * (CELL.width + CELL.gap) + 'px';
  cell.style.top = Math.floor(place / across) * row + 'px';
  cell.style.width = CELL.width + 'px';
  cell.style.height = CELL.height + 'px';
  cell.tabIndex = place === at ? 0 : -1;
  cell.setAttribute('aria-selected', selected.has(number));
  cell.dataset.place = place;
}

function face(number, record) {
  const cell = make('div', 'cell ' + status(record));
  cell.setAttribute('role', 'gridcell');
  cell.setAttribute('aria-label', [record.character || 'unsure who', clock(record.time), status(record), record.caption].filter(Boolean).join(', '));
  cell.dataset.id = record.id;
  if (record.image) {
    const picture = make('img');
    picture.loading = 'lazy';
    picture.decoding = 'async';
    picture.alt = '';
    picture.src = store.thumb(number, record.image.version);
    cell.append(picture);
  } else cell.append(make('div', 'blank', record.reason || 'no image'));
  const mark = SETTLED[status(record)];
  if (mark) cell.append(make('span', 'mark ' + (status(record) === 'accepted' ? 'good' : 'bad'), `${mark} ${status(record)}`));
  if (record.conflict) cell.append(make('span', 'mark warn', 'disagree'));
  else if (record.lint.length) cell.append(make('span', 'mark warn', 'caption'));
  const who = make('div', 'name', record.character || 'unsure who');
  who.dir = 'auto';
  const words = make('div', 'words', record.caption || record.reason || clock(record.time));
  words.dir = 'auto';
  cell.append(who, words);
  return cell;
}

const clock = seconds => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(3).padStart(6, '0')}`;

function progress() {
  const people = new Map();
  for (const record of view.records) {
    if (!inDataset(record)) continue;
    const who = record.character || 'unsure who';
    const of = people.get(who) || { all: 0, done: 0, good: 0 };
    of.all++;
    of.done += record.reviewed;
    of.good += record.training;
    people.set(who, of);
  }
  el('progress').replaceChildren(...[...people].sort().map(([who, of]) => {
    const span = make('span');
    const bar = make('progress');
    bar.max = of.all;
    bar.value = of.done;
    bar.setAttribute('aria-label', `${who}: ${of.done} of ${of.all} reviewed`);
    const label = make('bdi', '', who);
    span.append(label, ' ', bar, ` ${of.done}/${of.all} reviewed, ${of.good} good`);
    return span;
  }));
}

// ---- Moving. ----

function focus(place, extend) {
  if (!shown.length) return;
  const to = Math.min(shown.length - 1, Math.max(0, place));
  if (extend) {
    anchor ??= at;
    for (let n = Math.min(anchor, to); n <= Math.max(anchor, to); n++) selected.add(shown[n]);
  } else anchor = null;
  at = to;
  const row = CELL.height + CELL.gap;
  const top = Math.floor(at / columns()) * row;
  const scroller = el('scroller');
  if (top < scroller.scrollTop) scroller.scrollTop = top;
  else if (top + row + CELL.gap > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = top + row + CELL.gap - scroller.clientHeight;
  draw();
  if (!el('single').open) cells.get(shown[at])?.focus({ preventScroll: true });
}

// ---- Deciding. ----

const targets = () => selected.size && !el('single').open ? [...selected] : shown.length ? [shown[at]] : [];

async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    say(error.message);
    return undefined;
  }
}

let silence;
function say(text) {
  el('message').textContent = text;
  el('message').hidden = false;
  clearTimeout(silence);
  silence = setTimeout(() => { el('message').hidden = true; }, 6000);
}

function take(answer) {
  if (!answer) return;
  for (const record of answer.records) {
    const number = byId.get(record.id);
    const before = view.records[number];
    // Only a look at the whole dataset knows whether people agree, and how captions repeat each other.
    record.conflict = before.conflict;
    if (record.caption === before.caption && record.character === before.character) record.lint = before.lint;
    view.records[number] = record;
    if (record.character && !view.characters.includes(record.character)) {
      view.characters.push(record.character);
      people();
    }
  }
  el('undo').disabled = !answer.undoable;
  progress();
}

// Decides, and moves on to what is next: the image itself stays where it is until the filter is chosen anew.
async function decide(decisions, stay) {
  if (!decisions.length) return;
  const answer = await attempt(() => store.decide(decisions));
  if (!answer) return;
  take(answer);
  const many = selected.size > 0 && !el('single').open;
  selected.clear();
  if (!stay && !many) focus(at + 1);
  draw();
  if (el('single').open) show();
}

const lines = decision => targets().map(number => ({ record: view.records[number].id, ...decision }));

const ACTIONS = {
  accept: () => decide(lines({ decision: 'accept' })),
  reject: async () => {
    const reason = await question('Why not?', ['not the character', 'blurred', 'cut off', 'too small', 'near-duplicate', 'wrong style']);
    if (reason !== null) await decide(lines({ decision: 'reject', reason: reason || 'no reason given' }));
  },
  rename: async () => {
    const character = (await question('Who is it?', view.characters))?.trim();
    if (!character) return;
    const decisions = targets().flatMap(number => {
      const record = view.records[number];
      const renamed = { record: record.id, decision: 'rename', character };
      const caption = record.caption && record.character ? named(record.caption, record.character, character) : record.caption;
      return caption && caption !== record.caption ? [renamed, { record: record.id, decision: 'edit', caption }] : [renamed];
    });
    await decide(decisions, true);
  },
  edit: () => { open(); el('caption').focus(); },
  previous: () => { focus(at - 1); show(); },
  next: () => { focus(at + 1); show(); },
  close: () => el('single').close(),
  clear: () => { selected.clear(); draw(); focus(at); },
  undo: async () => {
    const answer = await attempt(() => store.undo());
    if (!answer) return;
    take(answer);
    if (answer.records.length) {
      const place = shown.indexOf(byId.get(answer.records[0].id));
      if (place >= 0) focus(place); else draw();
      say(`Taken back: ${answer.records.length} ${answer.records.length === 1 ? 'image' : 'images'}`);
    }
    if (el('single').open) show();
  },
};

// A name as a whole word, in any script.
function named(text, from, to) {
  const plain = from.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return text.replace(new RegExp(`(?<![\\p{L}\\p{N}_])${plain}(?![\\p{L}\\p{N}_])`, 'gu'), () => to);
}

function question(text, answers) {
  const dialog = el('ask');
  el('question').textContent = text;
  el('answer').value = '';
  el('answers').replaceChildren(...answers.map(answer => {
    const option = make('option');
    option.value = answer;
    return option;
  }));
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise(done => dialog.addEventListener('close', () => done(dialog.returnValue === 'ok' ? el('answer').value : null), { once: true }));
}

// ---- One image. ----

let cutting = null;   // in pixels of the frame
let looked;           // the record that the single view shows

function open() {
  if (!shown.length) return;
  if (!el('single').open) {
    el('single').showModal();
    // Not the caption: keys are commands until somebody asks to write.
    el('single').focus();
  }
  show();
}

function show() {
  const number = shown[at];
  if (number === undefined) { el('single').close(); return; }
  const record = view.records[number];
  const other = looked !== record.id;
  looked = record.id;
  if (record.image) el('picture').src = store.picture(number, record.image.version);
  else el('picture').removeAttribute('src');
  el('picture').alt = record.caption || record.character || 'unsure who';
  const facts = [
    record.character || 'unsure who',
    record.detected && record.detected !== record.character ? `the detector saw ${record.detected}` : '',
    `confidence ${record.confidence.toFixed(2)} by ${record.decided_by}`,
    ...record.alternatives.map(other => `${other.character} ${other.confidence.toFixed(2)}?`),
    clock(record.time) + (record.shot === null ? '' : `, shot ${record.shot}`),
    record.image ? `${record.image.width}×${record.image.height}, quality ${record.image.quality.toFixed(2)}` : '',
    record.outcome + (record.reason ? `: ${record.reason}` : ''),
    record.covered_by ? `covered by ${record.covered_by[0]} (${record.covered_by[1].toFixed(3)})` : '',
    record.judgement?.reviewers?.length ? `decided by ${record.judgement.reviewers.join(', ')}` : '',
  ];
  el('facts').textContent = facts.filter(Boolean).join(' · ');
  if (other || document.activeElement !== el('caption')) el('caption').value = record.caption || '';
  faults(record.lint);
  const settled = status(record);
  el('state').textContent = `${at + 1} of ${shown.length}` + (settled ? ` · ${settled}` : '') +
    (settled === 'rejected' ? `: ${record.judgement.rejected}` : '');
  frame(number, record);
  covered(record);
}

function faults(messages) {
  el('faults').replaceChildren(...messages.map(message => make('li', '', message)));
}

function rectangle(node, x, y, width, height, [w, h]) {
  Object.assign(node.style, { left: x / w * 100 + '%', top: y / h * 100 + '%', width: width / w * 100 + '%', height: height / h * 100 + '%' });
}

function frame(number, record) {
  el('frame-pane').hidden = !view.frames;
  if (!view.frames) return;
  el('frame').src = store.frame(number);
  const [w, h] = record.frame;
  const b = record.bounding_box;
  rectangle(el('box'), b.left * w, b.top * h, b.width * w, b.height * h, record.frame);
  el('box').hidden = false;
  cutting = null;
  el('recut').disabled = true;
  const rect = record.image?.rect;
  el('cut').hidden = !rect;
  if (rect) rectangle(el('cut'), rect.x, rect.y, rect.width, rect.height, record.frame);
}

function drag(begin) {
  if (begin.button !== 0) return;
  const record = view.records[shown[at]];
  const stage = el('stage');
  const bounds = stage.getBoundingClientRect();
  const [w, h] = record.frame;
  const point = event => [
    Math.round(Math.min(1, Math.max(0, (event.clientX - bounds.left) / bounds.width)) * w),
    Math.round(Math.min(1, Math.max(0, (event.clientY - bounds.top) / bounds.height)) * h),
  ];
  const [x, y] = point(begin);
  stage.setPointerCapture(begin.pointerId);
  const move = event => {
    const [to, down] = point(event);
    cutting = { x: Math.min(x, to), y: Math.min(y, down), width: Math.abs(to - x), height: Math.abs(down - y) };
    el('cut').hidden = false;
    rectangle(el('cut'), cutting.x, cutting.y, cutting.width, cutting.height, record.frame);
    el('recut').disabled = cutting.width < 16 || cutting.height < 16;
  };
  stage.addEventListener('pointermove', move);
  stage.addEventListener('pointerup', () => stage.removeEventListener('pointermove', move), { once: true });
}

function covered(record) {
  const others = view.records.flatMap((other, number) => other.covered_by?.[0] === record.id ? [[other, number]] : []);
  el('covered').hidden = !others.length;
  el('covered').querySelector('.strip').replaceChildren(...others.map(([other, number]) => {
    const figure = make('figure');
    const picture = make('img');
    picture.loading = 'lazy';
    picture.alt = `at ${clock(other.time)}`;
    if (other.image) picture.src = store.thumb(number, other.image.version);
    const swap = make('button', '', 'Use this one');
    swap.type = 'button';
    swap.addEventListener('click', () => decide([
      { record: other.id, decision: 'edit', caption: record.caption || '' },
      { record: record.id, decision: 'reject', reason: `${other.id} is better` },
    ], true));
    swap.disabled = !record.caption || !other.image || other.training;
    figure.append(picture, make('figcaption', '', `${clock(other.time)} · ${other.covered_by[1].toFixed(3)}`), swap);
    return figure;
  }));
}

let waiting;
function typed() {
  clearTimeout(waiting);
  const record = view.records[shown[at]];
  waiting = setTimeout(async () => {
    const found = await attempt(() => store.lint(record.id, el('caption').value));
    if (found && looked === record.id) faults(found);
  }, 120);
}

async function keepCaption() {
  const record = view.records[shown[at]];
  const caption = el('caption').value.replace(/\s+/g, ' ').trim();
  if (!caption) { say('A caption cannot be empty. Reject the image instead.'); return; }
  if (caption !== record.caption) await decide([{ record: record.id, decision: 'edit', caption }], true);
}

// ---- Keys and buttons. ----

const ARROWS = { ArrowLeft: () => -1, ArrowRight: () => 1, ArrowUp: () => -columns(), ArrowDown: () => columns() };
const LETTERS = { a: 'accept', x: 'reject', n: 'rename', e: 'edit', u: 'undo' };

function typing(event) {
  return /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
}

function key(event) {
  if (el('ask').open || el('keys').open) return;
  const single = el('single').open;
  if (event.target === el('caption')) {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      keepCaption();
    } else if (event.key === 'Escape') {
      event.preventDefault();
      el('caption').value = view.records[shown[at]].caption || '';
      el('single').focus();
    }
    return;
  }
  if (typing(event)) return;
  if ((event.ctrlKey || event.metaKey) && event.key === 'a' && !single) {
    event.preventDefault();
    shown.forEach(number => selected.add(number));
    draw();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const letter = LETTERS[event.key];
  if (letter) {
    event.preventDefault();
    ACTIONS[letter]();
  } else if (ARROWS[event.key]) {
    event.preventDefault();
    if (single) { if (event.key === 'ArrowLeft') ACTIONS.previous(); if (event.key === 'ArrowRight') ACTIONS.next(); }
    else focus(at + ARROWS[event.key](), event.shiftKey);
  } else if (!single && event.key === 'Home') focus(0);
  else if (!single && event.key === 'End') focus(shown.length - 1);
  else if (!single && event.key === 'Enter' && event.target.tagName !== 'BUTTON') { event.preventDefault(); open(); }
  else if (!single && event.key === ' ' && event.target.tagName !== 'BUTTON') {
    event.preventDefault();
    const number = shown[at];
    if (!selected.delete(number)) selected.add(number);
    draw();
  } else if (!single && event.key === 'Escape') ACTIONS.clear();
  else if (event.key === '?') el('keys').showModal();
}

function people() {
  const chosen = el('character').value;
  const everybody = make('option', '', 'everybody');
  everybody.value = '';
  el('character').replaceChildren(everybody, ...view.characters.map(who => make('option', '', who)));
  el('character').value = chosen;
}

function thresholds() {
  if (!store.thresholds) { document.querySelector('.threshold').hidden = true; return; }
  let points;
  const tell = async () => {
    const cut = Number(el('threshold').value);
    points ??= await attempt(() => store.thresholds());
    const point = points?.thresholds.findLast(point => point.min_similarity <= cut + 1e-9);
    if (point) el('kept').textContent = `${point.min_similarity.toFixed(3)}: ${point.kept} kept`;
  };
  el('threshold').addEventListener('input', tell);
  if (view.min_similarity) el('threshold').value = view.min_similarity;
  el('kept').textContent = view.min_similarity ? view.min_similarity.toFixed(3) : '';
}

async function begin() {
  const text = el('data').textContent.trim();
  const data = text ? JSON.parse(text) : null;
  store = data ? embedded(data) : served;
  view = await attempt(() => store.load());
  if (!view) return;
  view.characters = [...view.characters];
  byId = new Map(view.records.map((record, number) => [record.id, number]));
  el('film').textContent = view.film;
  document.title = `${view.film} · review · picchu`;
  el('undo').disabled = !view.undoable;
  people();
  thresholds();
  progress();
  if (!view.records.some(FILTERS.training)) el('filter').value = 'all';
  for (const id of ['filter', 'character', 'order']) el(id).addEventListener('change', () => { el('scroller').scrollTop = 0; at = 0; refilter(); });
  el('scroller').addEventListener('scroll', () => requestAnimationFrame(draw), { passive: true });
  new ResizeObserver(() => draw()).observe(el('scroller'));
  document.addEventListener('keydown', key);
  document.addEventListener('click', event => {
    const action = event.target.closest('[data-do]')?.dataset.do;
    if (action) ACTIONS[action]();
  });
  el('grid').addEventListener('click', event => {
    const cell = event.target.closest('.cell');
    if (!cell) return;
    const place = Number(cell.dataset.place);
    if (event.shiftKey) focus(place, true);
    else if (event.ctrlKey || event.metaKey) {
      focus(place);
      if (!selected.delete(shown[place])) selected.add(shown[place]);
      draw();
    } else { focus(place); open(); }
  });
  el('undo').addEventListener('click', ACTIONS.undo);
  el('help').addEventListener('click', () => el('keys').showModal());
  el('cancel').addEventListener('click', () => el('ask').close('no'));
  el('single').addEventListener('close', () => { looked = undefined; focus(at); });
  el('caption').addEventListener('input', typed);
  el('caption').addEventListener('change', keepCaption);
  el('stage').addEventListener('pointerdown', drag);
  el('recut').addEventListener('click', async () => {
    const record = view.records[shown[at]];
    take(await attempt(() => store.recut(record.id, cutting)));
    draw();
    show();
  });
  if (store.patch) {
    el('save').hidden = false;
    el('save').addEventListener('click', () => {
      const link = make('a');
      link.href = URL.createObjectURL(new Blob([store.patch()], { type: 'application/jsonl' }));
      link.download = 'reviews.patch.jsonl';
      link.click();
    });
  }
  refilter();
  if (shown.length) cells.get(shown[at])?.focus({ preventScroll: true });
}

begin();
