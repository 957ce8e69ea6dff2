"""How fast the dashboard is in a real Chromium: first paint, input to new verdict, memory over 200 interactions.

Run on an otherwise idle machine: .venv/bin/python benchmarks/dashboard/run.py
"""

import argparse
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import sync_playwright

REPOSITORY = Path(__file__).resolve().parent.parent.parent
FLAGS = ("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync")
HEADLINE = '[data-testid="stMain"] h2'
AT_REST = '[data-test-script-state="notRunning"]'
PATIENCE_S = 20.0
SPINNER = 'input[aria-label="Staff [FTE]"]'


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--moves", type=int, default=30, help="inputs that are moved and timed")
    options.add_argument("--interactions", type=int, default=200, help="interactions over which memory is watched")
    chosen = options.parse_args()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "measure.cli", "app", str(REPOSITORY / "examples"), "--port", str(port)]
    with tempfile.TemporaryFile() as output:
        server = subprocess.Popen(command, cwd=REPOSITORY, start_new_session=True, stdout=output, stderr=output)
    try:
        wait_for(address)
        with sync_playwright() as playwright:
            flags = [*FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.set_default_timeout(60_000)
            print(f"first useful paint after the server is up: {first_paint_s(page, address):.2f} s")
            print(f"first useful paint of a second session: {first_paint_s(page, address):.2f} s")
            for how, at_rest in (("page at rest", True), ("one upon the other", False)):
                moves = [
                    move_s(page, n + (0 if at_rest else chosen.moves), at_rest=at_rest) for n in range(chosen.moves)
                ]
                lost = sum(move >= PATIENCE_S for move in moves)
                print(
                    f"input to new verdict, {how}, {len(moves)} moves: median {statistics.median(moves):.3f} s, "
                    f"p90 {sorted(moves)[int(0.9 * len(moves))]:.3f} s, slowest {max(moves):.3f} s, "
                    f"without answer {lost}"
                )
            process = psutil.Process(server.pid)
            used = [mib(process)]
            for n in range(chosen.interactions):
                move_s(page, n, at_rest=True)
                if (n + 1) % 50 == 0:
                    used.append(mib(process))
            shown = ", ".join(f"{value:.0f}" for value in used)
            print(f"resident memory of the server every 50 of {chosen.interactions} interactions: {shown} MiB")
            browser.close()
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=20)


def wait_for(address: str) -> None:
    """Until the server answers; Chromium's own start is no part of any figure."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=5):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def first_paint_s(page: Any, address: str) -> float:
    """From the request to the headline of the verdict on the screen."""
    page.goto("about:blank")
    start = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.wait_for_selector(HEADLINE)
    return time.perf_counter() - start


def move_s(page: Any, n: int, *, at_rest: bool) -> float:
    """Change the staff, timed in the page itself from the key to the new headline; `PATIENCE_S` where none came.

    At rest the page has been drawn to its end before; else the key comes as soon as the last headline stands.
    """
    if at_rest:
        page.wait_for_selector(AT_REST)
    page.wait_for_selector(SPINNER)
    value = f"{0.5 + (n % 97 + 1) * 0.01 + n * 1e-4:.4f}"
    page.locator(SPINNER).fill(value)
    found = page.evaluate(
        """([spinner, headline]) => new Promise(done => {
            const before = document.querySelector(headline).innerText, start = performance.now();
            const look = () => {
                const now = document.querySelector(headline);
                if (now && now.innerText !== before) done(performance.now() - start);
                else if (performance.now() - start > 20000) done(-1);
                else requestAnimationFrame(look);
            };
            const input = document.querySelector(spinner);
            input.dispatchEvent(new KeyboardEvent("keydown", {key: "Enter", code: "Enter", keyCode: 13,
                bubbles: true}));
            look();
        })""",
        [SPINNER, HEADLINE],
    )
    if found < 0:
        return PATIENCE_S
    page.wait_for_timeout(50)
    return float(found) / 1000


def mib(process: psutil.Process) -> float:
    return sum(p.memory_info().rss for p in (process, *process.children(recursive=True))) / 2**20


if __name__ == "__main__":
    main()
