/** Works on everything that comes, a few at a time; the first error ends it. */
export async function inParallel<T>(
  items: AsyncIterable<T> | Iterable<T>,
  atOnce: number,
  work: (item: T) => Promise<unknown>,
): Promise<void> {
  const iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]()
  let over = false
  const worker = async () => {
    while (!over) {
      const { done, value } = await iterator.next()
      if (done) return
      await work(value)
    }
  }
  const workers = Array.from({ length: atOnce }, worker)
  try {
    await Promise.all(workers)
  } finally {
    over = true
    await Promise.allSettled(workers)
  }
}
