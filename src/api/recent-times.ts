/** How long the last answers took: what is asked of the service now, and not since its start. */
export class RecentTimes {
  private readonly times = new Float64Array(1_000);
  private count = 0;

  add(ms: number): void {
    this.times[this.count++ % this.times.length] = ms;
  }

  /** @param share 0.5 = the median; undefined when there was none yet */
  quantile(share: number): number | undefined {
    const known = this.times.slice(0, Math.min(this.count, this.times.length)).sort();
    return known.length === 0 ? undefined : known[Math.min(known.length - 1, Math.floor(known.length * share))];
  }
}
