'use strict';
// Asks for the cameras' state once a second, and for pictures of those cards that are in view.

const kEveryMs = 1000;
const cards = new Map();
const list = document.getElementById('cameras');
const summary = document.getElementById('summary');
const inView = new WeakSet();
const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (entry.isIntersecting) inView.add(entry.target);
    else inView.delete(entry.target);
  }
});

function addCard(name) {
  const card = document.getElementById('card').content.firstElementChild.cloneNode(true);
  card.querySelector('.name').textContent = name;
  const view = card.querySelector('.view');
  card.querySelector('.cut').addEventListener('input', (event) => {
    view.style.setProperty('--cut', event.target.value + '%');
  });
  view.classList.add('empty');
  watcher.observe(card);
  cards.set(name, card);
  return card;
}

function ago(seconds) {
  if (seconds < 90) return Math.round(seconds) + ' s';
  if (seconds < 5400) return Math.round(seconds / 60) + ' min';
  if (seconds < 129600) return Math.round(seconds / 3600) + ' h';
  return Math.round(seconds / 86400) + ' days';
}

function show(card, camera, port) {
  const live = camera.state === 'live';
  const put = (name, text, alarm) => {
    const node = card.querySelector('.' + name);
    node.textContent = text;
    node.classList.toggle('alarm', Boolean(alarm));
  };
  const state = card.querySelector('.state');
  // After a fault a camera is away, during the attempts to reach it too.
  const away = !live && camera.detail !== '';
  state.className = 'state ' + (away ? 'away' : camera.state);
  state.textContent = (away ? 'away' : camera.state) + ' for ' + ago(camera.since_seconds);
  const sure = Math.round(camera.confidence * 100);
  put('sees', live && camera.degradation ? camera.degradation + ' ' + sure + ' %' : '–');
  put('fps', live ? camera.fps.toFixed(1) : '–');
  put('latency', live ? Math.round(camera.latency_ms) + ' ms' : '–');
  put('restore', live ? camera.restore_ms.toFixed(1) + ' ms' : '–');
  const share = camera.frames ? Math.round(100 * camera.bypassed / camera.frames) + ' %' : '–';
  put('bypassed', share + (live && camera.reason !== 'none' ? ' (' + camera.reason + ')' : ''));
  put('dropped', camera.dropped);
  put('clients', camera.clients);
  put('reconnects', camera.reconnects);
  const {before, after} = camera.recording;
  put('recording', before === after ? before : `before ${before}, after ${after}`,
      before === 'stopped' || after === 'stopped');
  const url = `rtsp://${location.hostname}:${port}${camera.path}`;
  const kind = camera.width ? `${camera.codec} ${camera.width}×${camera.height} ` : '';
  card.querySelector('.source').textContent = `${kind}from ${camera.host}, restored at ${url}`;
  const view = card.querySelector('.view');
  card.querySelector('.nothing').textContent =
      live ? 'no picture yet' : (camera.detail || 'connecting…');
  if (!live) view.classList.add('empty');
  // Pictures keep the camera's shape: two of them side by side.
  if (camera.width) {
    const wiping = document.body.classList.contains('wiping');
    view.style.aspectRatio = `${(wiping ? 1 : 2) * camera.width} / ${camera.height}`;
  }
}

function refreshPicture(card, camera) {
  if (camera.state !== 'live' || !inView.has(card) || card.dataset.loading) return;
  card.dataset.loading = 'yes';
  const picture = new Image();
  picture.onload = () => {
    for (const image of card.querySelectorAll('img')) image.src = picture.src;
    card.querySelector('.view').classList.remove('empty');
    delete card.dataset.loading;
  };
  picture.onerror = () => delete card.dataset.loading;
  picture.src = `snapshot/${camera.name}.jpg?t=${Date.now()}`;
}

async function refresh() {
  if (document.hidden) return;
  let answer;
  try {
    const response = await fetch('api/cameras', {signal: AbortSignal.timeout(5000)});
    if (!response.ok) throw new Error(response.status);
    answer = await response.json();
  } catch (error) {
    summary.textContent = 'the gateway does not answer';
    summary.className = 'lost';
    return;
  }
  const live = answer.cameras.filter((camera) => camera.state === 'live').length;
  summary.className = '';
  summary.textContent = `${live} of ${answer.cameras.length} cameras live`;
  const names = new Set(answer.cameras.map((camera) => camera.name));
  for (const [name, card] of cards) {
    if (names.has(name)) continue;
    card.remove();
    cards.delete(name);
  }
  answer.cameras.forEach((camera, index) => {
    const card = cards.get(camera.name) || addCard(camera.name);
    if (list.children[index] !== card) list.insertBefore(card, list.children[index] || null);
    show(card, camera, answer.rtsp_port);
    refreshPicture(card, camera);
  });
}

document.getElementById('wipe').addEventListener('change', (event) => {
  document.body.classList.toggle('wiping', event.target.checked);
  refresh();
});
setInterval(refresh, kEveryMs);
document.addEventListener('visibilitychange', refresh);
refresh();
