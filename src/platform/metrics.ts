import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

/**
 * The process's Prometheus registry behind three verbs. Metrics are declared beside the code they measure; asking for a
 * name again gives the same metric, so two instances of a component share it. All names start with `loqey_`.
 */
export class Metrics {
  readonly registry = new Registry();

  /** Memory, CPU, event loop and garbage collection of this process, once per process. */
  measureProcess(): void {
    collectDefaultMetrics({ register: this.registry, prefix: 'loqey_' });
  }

  counter<L extends string = never>(name: `loqey_${string}`, help: string, labelNames: readonly L[] = []): Counter<L> {
    const known = this.registry.getSingleMetric(name) as Counter<L> | undefined;
    return known ?? new Counter({ name, help, labelNames: [...labelNames], registers: [this.registry] });
  }

  gauge<L extends string = never>(name: `loqey_${string}`, help: string, labelNames: readonly L[] = []): Gauge<L> {
    const known = this.registry.getSingleMetric(name) as Gauge<L> | undefined;
    return known ?? new Gauge({ name, help, labelNames: [...labelNames], registers: [this.registry] });
  }

  /** In seconds, with buckets for a path that takes about a millisecond and fails after seconds. */
  histogram<L extends string = never>(
    name: `loqey_${string}_seconds`,
    help: string,
    labelNames: readonly L[] = [],
  ): Histogram<L> {
    const known = this.registry.getSingleMetric(name) as Histogram<L> | undefined;
    const buckets = [0.0005, 0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.125, 0.25, 0.5, 1, 2.5, 5, 10, 30];
    return known ?? new Histogram({ name, help, labelNames: [...labelNames], buckets, registers: [this.registry] });
  }
}
