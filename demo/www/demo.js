"use strict";
// What the page shows is what the server says (/status) and what this page itself has received: nothing is made up.

const STATUS_EVERY_MS = 300;
const BYTES_PER_MS = 1500; // the pace of the download
const LAST_NUMBER = 8000000;
const LINES_KEPT = 64;

const at = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const grouped = (number) => number.toLocaleString("en");
const hueOf = (pid) => (pid * 137.508) % 360; // neighbouring pids far apart on the wheel

const counts = { lost: 0, ticks: 0, verified: 0, wrong: 0, kills: 0, downloads: 0, revivals: 0 };
window.demo = counts; // for the test of this page

function show() {
  at("ticks").textContent = grouped(counts.ticks);
  at("verified").textContent = grouped(counts.verified);
  at("lost").textContent = grouped(counts.lost);
  at("revivals").textContent = grouped(counts.revivals);
  document.querySelector(".zero").classList.toggle("bad", counts.lost + counts.wrong > 0);
}

function tell(problem) {
  at("problem").textContent = problem;
  at("problem").hidden = !problem;
}

// --- the processes ---

let token = "";

async function kill(pid) {
  for (let attempt = 0; attempt < 2; attempt++) {
    if (!token) token = (await (await fetch("/demo/token")).json()).token;
    const answer = await fetch(`/demo/kill?pid=${pid}`, { method: "POST", headers: { "X-Demo-Token": token } });
    if (answer.ok) { counts.kills++; mark(); return; }
    token = "";
  }
  tell("The server did not want to be killed from here.");
}

function makeSlot(number) {
  const slot = document.createElement("div");
  slot.className = "slot";
  slot.innerHTML = `<div class="process"><b class="keeper-pid"></b><span>keeper ${number}, sleeps</span></div>
    <div class="tie" title="one table of descriptors, one arena"></div>
    <div class="process worker"><b class="worker-pid"></b><span>worker, does it all</span></div>
    <div class="foot"><span><b class="connections"></b> connections</span><span><b class="deaths"></b> deaths</span>
    <span><b class="slot-revivals"></b> revivals</span><button type="button">Kill the worker</button></div>`;
  slot.querySelector("button").addEventListener("click", () => kill(slot.dataset.pid).catch(() => tell("No answer.")));
  at("slots").append(slot);
  return slot;
}

function showWorker(worker) {
  const slot = at("slots").children[worker.slot] || makeSlot(worker.slot);
  const put = (name, value) => { slot.querySelector(name).textContent = value; };
  if (slot.dataset.pid && slot.dataset.pid !== String(worker.pid)) {
    slot.classList.remove("fresh");
    void slot.offsetWidth; // begins the animation anew
    slot.classList.add("fresh");
  }
  slot.dataset.pid = worker.pid;
  slot.style.setProperty("--hue", hueOf(worker.pid));
  put(".keeper-pid", worker.keeper_pid);
  put(".worker-pid", worker.pid);
  put(".connections", worker.connections);
  put(".deaths", worker.deaths);
  put(".slot-revivals", worker.revivals);
}

async function watchProcesses() {
  for (;;) {
    try {
      const status = await (await fetch("/status", { headers: { Accept: "application/json" }, cache: "no-store" })).json();
      const workers = status.workers.sort((a, b) => a.slot - b.slot);
      workers.forEach(showWorker);
      counts.revivals = workers.reduce((sum, worker) => sum + worker.revivals, 0);
      at("who").textContent = `anchor ${status.anchor.pid}, master ${status.master.pid}, ${status.phase} for ` +
        `${Math.round(status.uptime_s)} s`;
      tell("");
    } catch {
      tell("The server cannot be reached. Is it still running?");
    }
    show();
    await sleep(STATUS_EVERY_MS);
  }
}

// --- the stream ---

function showTick(tick) {
  const bar = document.createElement("i");
  bar.style.setProperty("--hue", hueOf(tick.pid));
  bar.style.height = `${55 + 45 * Math.abs(Math.sin(tick.tick / 7))}%`;
  at("strip").append(bar);
  while (at("strip").children.length > LINES_KEPT) at("strip").firstChild.remove();
  at("line").textContent = `tick ${tick.tick}, written by worker ${tick.pid} of slot ${tick.slot}`;
}

async function listen() {
  let expected = 1, rest = "";
  const reader = (await fetch("/demo/ticks")).body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const tick = JSON.parse(line);
      if (tick.tick !== expected) counts.wrong++;
      expected = tick.tick + 1;
      counts.ticks++;
      showTick(tick);
    }
    show();
  }
}

// --- the download ---

let position = 0, total = 1;

// Where the download was when a worker was killed.
function mark() {
  const line = document.createElement("i");
  line.style.left = `${(100 * position) / total}%`;
  at("marks").append(line);
}

// Compares bytes with "1\n2\n3\n…", wherever the last call ended.
function makeComparison() {
  let number = 1, text = "1\n", offset = 0;
  return (bytes) => {
    let wrong = 0;
    for (const byte of bytes) {
      if (byte !== text.charCodeAt(offset)) wrong++;
      if (++offset === text.length) { number++; text = `${number}\n`; offset = 0; }
    }
    return { wrong, isWhole: number === LAST_NUMBER + 1 && offset === 0 };
  };
}

async function download() {
  const compare = makeComparison();
  const answer = await fetch("/numbers.txt", { cache: "no-store" });
  const reader = answer.body.getReader();
  let isWhole = false;
  total = Number(answer.headers.get("Content-Length"));
  position = 0;
  at("marks").replaceChildren();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const result = compare(value);
    isWhole = result.isWhole;
    counts.wrong += result.wrong;
    counts.verified += value.length;
    position += value.length;
    at("bar").style.width = `${(100 * position) / total}%`;
    at("state").textContent = `${grouped(position)} of ${grouped(total)} bytes, ${counts.wrong} wrong, in one response`;
    show();
    await sleep(value.length / BYTES_PER_MS);
  }
  if (!isWhole) throw new Error("cut off");
  counts.downloads++;
}

async function forever(what) {
  for (;;) {
    try {
      await what();
    } catch {
      counts.lost++;
      show();
    }
    await sleep(1000);
  }
}

forever(listen);
forever(download);
watchProcesses();
