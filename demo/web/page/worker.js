// Runs the network in a classic worker, because LiteRT.js loads its WebAssembly with
// `importScripts`, which module workers do not support.

let network;
let cancelled = false;

self.onmessage = async ({data}) => {
  try {
    if (data.kind === 'load') {
      const {loadNetwork} = await import('./network.js');
      network = await loadNetwork(data.card, data.runtime, data.threads);
      self.postMessage({kind: 'loaded', card: network.card, threads: data.threads});
    } else if (data.kind === 'denoise') {
      cancelled = false;
      const {denoise} = await import('./denoise.js');
      const finished = await denoise(network, data.picture, {
        cancelled: () => cancelled,
        onProgress: progress => self.postMessage({kind: 'progress', ...progress}),
        onPart: part => self.postMessage({kind: 'part', ...part}, [part.data.buffer]),
      });
      self.postMessage({kind: finished ? 'finished' : 'cancelled'});
    } else if (data.kind === 'cancel') {
      cancelled = true;
    }
  } catch (error) {
    self.postMessage({kind: 'failed', during: data.kind, message: String(error?.message ?? error)});
  }
};
