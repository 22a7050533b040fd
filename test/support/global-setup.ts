/** Starts what the whole suite shares; see `database.ts`. */
export default async function setup(): Promise<void> {}
