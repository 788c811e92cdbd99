// The interface of the page to the worker: one network, one picture at a time.

/** Returns the name of a required feature that this browser lacks, or null. */
export function missingFeature() {
  if (typeof WebAssembly !== 'object') return 'WebAssembly';
  if (typeof Worker !== 'function') return 'Web Workers';
  if (typeof createImageBitmap !== 'function') return 'createImageBitmap';
  return null;
}

/** Returns the number of threads of the network; `wanted` is a number or "auto". */
export function threadsFor(wanted) {
  // Shared memory, and thus threads, require COOP and COEP headers.
  if (!self.crossOriginIsolated) return 1;
  const cores = navigator.hardwareConcurrency || 1;
  return wanted === 'auto' ? Math.min(cores, 8) : Math.max(1, Math.min(wanted, cores));
}

export class Engine {
  constructor(config) {
    this._cancelled = 0;
    this._request = {
      kind: 'load',
      card: new URL(config.card, document.baseURI).href,
      runtime: new URL(config.runtime, document.baseURI).href,
      threads: threadsFor(config.threads),
    };
  }

  /** Loads the network once; resolves to {card, threads}. */
  load() {
    this._loaded ??= this._load().catch(error => {
      this._loaded = undefined;  // the next picture tries again
      throw error;
    });
    return this._loaded;
  }

  async _load() {
    this._worker = new Worker('worker.js');
    return this._ask(this._request, {loaded: ({card, threads}) => ({card, threads})});
  }

  /**
   * Denoises; resolves to `true`, or to `false` after `cancel`.
   *
   * @param {ImageData} picture its pixels are transferred to the worker.
   */
  async denoise({width, height, data}, onProgress, onPart) {
    const started = this._cancelled;
    await this.load();
    if (started !== this._cancelled) return false;
    const picture = {width, height, data};
    return this._ask({kind: 'denoise', picture}, {
      progress: message => { onProgress(message); },
      part: message => { onPart(message); },
      finished: () => true,
      cancelled: () => false,
    }, [data.buffer]);
  }

  cancel() {
    this._cancelled++;  // also what has not come to the worker yet
    this._worker?.postMessage({kind: 'cancel'});
  }

  _ask(request, answers, transfer = []) {
    return new Promise((resolve, reject) => {
      const fail = error => {
        // Its memory may be full and its runtime broken: the next picture gets a new worker.
        this._worker.terminate();
        this._worker = this._loaded = undefined;
        reject(error);
      };
      this._worker.onmessage = ({data}) => {
        if (data.kind === 'failed') return fail(new Error(data.message));
        try {
          const answer = answers[data.kind]?.(data);
          if (answer !== undefined) resolve(answer);
        } catch (error) {
          fail(error);
        }
      };
      this._worker.onerror = event => {
        event.preventDefault();
        fail(new Error(event.message || 'the worker does not start'));
      };
      this._worker.postMessage(request, transfer);
    });
  }
}
