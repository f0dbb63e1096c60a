// Where the translation of a video grows: a file in this page's own storage, of which memory holds some megabytes; where a
// browser gives none, as some private windows do, memory itself, up to a bound.

const FOLDER = "cyclegan-videos";
const CHUNK = 4 * 2 ** 20; // bytes that are collected before they are written; Mediabunny collects two at a time
const MOST_MEMORY = 256e6;

/** Open a place for a result; `target` is what Mediabunny writes to. */
export async function openResult(media) {
  try {
    return await StoredResult.open(media);
  } catch {
    return new MemoryResult(media); // no such storage here
  }
}

class StoredResult {
  static async open(media) {
    const result = new StoredResult();
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle(FOLDER, { create: true });
    await removeLeftovers(folder);
    const name = crypto.randomUUID();
    const release = await holdLock(name); // first, or another page would take the file for a leftover
    try {
      const file = await folder.getFileHandle(name, { create: true });
      Object.assign(result, { folder, name, release, file, writable: await file.createWritable() });
    } catch (error) {
      await folder.removeEntry(name).catch(() => {});
      release();
      throw error;
    }
    const stream = new WritableStream({ write: (part) => result.#write(part) });
    result.target = new media.StreamTarget(stream, { chunked: true, chunkSize: CHUNK });
    return result;
  }

  /** Throw what hindered writing so far. */
  check() {
    if (this.failure?.name === "QuotaExceededError") {
      throw new Error("This device has no room left for the result; free some, or take a shorter video.");
    }
    if (this.failure) throw new Error(`The result cannot be stored: ${this.failure.message}`);
  }

  /** Return the whole result as a Blob of a type, which stays on the disk. */
  async finish(type) {
    this.check();
    await this.writable.close().catch((error) => (this.failure = error));
    this.check();
    const file = await this.file.getFile();
    return file.slice(0, file.size, type);
  }

  async remove() {
    await this.writable.abort().catch(() => {}); // it is closed already
    await this.folder.removeEntry(this.name).catch(() => {}); // then it is a leftover
    this.release();
  }

  /** Write a part; a failure waits for `check`, because Mediabunny cannot end a stream that failed. */
  async #write(part) {
    if (!this.failure) await this.writable.write(part).catch((error) => (this.failure = error));
  }
}

class MemoryResult {
  constructor(media) {
    this.target = new media.BufferTarget();
    this.bytes = 0;
    this.target.onwrite = (start, end) => (this.bytes = Math.max(this.bytes, end));
  }

  check() {
    if (this.bytes > MOST_MEMORY) {
      throw new Error(
        `The result is larger than ${MOST_MEMORY / 1e6} MB, and this browser keeps it in memory; take a shorter video, or a window that is not private.`,
      );
    }
  }

  async finish(type) {
    return new Blob([this.target.buffer], { type });
  }

  async remove() {}
}

/** Remove the files of pages that are gone; each page locks its own. */
async function removeLeftovers(folder) {
  const { held } = await navigator.locks.query();
  const kept = new Set(held.map(({ name }) => name));
  for await (const name of folder.keys()) {
    const [owner] = name.split("."); // a browser may write NAME.SUFFIX first
    if (!kept.has(owner)) await folder.removeEntry(name).catch(() => {});
  }
}

/** Hold a lock for as long as this page lives; returns what releases it before. */
function holdLock(name) {
  return new Promise((resolve, reject) => {
    navigator.locks.request(name, () => new Promise((release) => resolve(release))).catch(reject);
  });
}
