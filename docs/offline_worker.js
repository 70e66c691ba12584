"use strict";
/* A Worker for pages that are opened as files, where browsers start none: the script runs in a hidden frame. */

class FrameWorker extends EventTarget {
  constructor(address) {
    super();
    this.frame = document.createElement("iframe");
    this.frame.hidden = true;
    document.body.append(this.frame);
    const inside = this.frame.contentWindow;
    // what the script answers, here
    inside.postMessage = (data) => {
      const event = new MessageEvent("message", { data });
      this.dispatchEvent(event);
      this.onmessage?.(event);
    };
    const load = (source) => new Promise((done, failed) => {
      const script = inside.document.createElement("script");
      Object.assign(script, { src: source, onload: done, onerror: failed });
      inside.document.body.append(script);
    });
    const base = document.baseURI;
    inside.importScripts = (...sources) => sources.reduce(
      (before, source) => before.then(() => load(new URL(source, new URL(address, base)).href)), Promise.resolve());
    this.ready = load(new URL(address, base).href);
  }

  postMessage(data) {
    this.ready.then(() => this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data })));
  }

  terminate() {
    this.frame.remove();
  }
}

if (location.protocol === "file:") window.Worker = FrameWorker;
