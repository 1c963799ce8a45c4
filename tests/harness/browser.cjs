// What a page finds in a browser and not in Node: as much of EventSource as the documents' pages use.
'use strict';

const AGAIN_MS = 100;

class EventSource {
  constructor(url) {
    this.url = url;
    this.listeners = {};
    this.lastId = '';
    this.run();
  }

  addEventListener(name, listener) {
    this.listeners[name] = listener;
  }

  take(text) {
    const fields = text.split('\n').filter((line) => !line.startsWith(':')).map((line) => line.split(/: (.*)/s));
    const {event = 'message', id, data} = Object.fromEntries(fields);
    this.lastId = id ?? this.lastId;
    if (data !== undefined && this.listeners[event]) this.listeners[event]({data});
  }

  async follow() {
    const headers = this.lastId ? {'Last-Event-ID': this.lastId} : {};
    const answer = await fetch(this.url, {headers});
    let text = '';
    for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
      const events = (text + piece).split('\n\n');
      text = events.pop();
      events.forEach((event) => this.take(event));
    }
  }

  async run() {
    for (;;) {
      await this.follow().catch((error) => console.error(error.message));
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }
}

globalThis.EventSource = EventSource;
