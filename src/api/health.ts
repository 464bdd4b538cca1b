import type { HealthReport } from './ports.ts';

/** Why a process should get no traffic. */
export function waitingFor({ stopping, parts }: HealthReport): readonly string[] {
  return [...(stopping === true ? ['stopping'] : []), ...Object.entries(parts).flatMap(([name, { state }]) => (state === 'down' ? [name] : []))];
}
