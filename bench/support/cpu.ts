import { readdirSync, readFileSync } from 'node:fs';

/** Clock ticks of /proc per second: 100 on every Linux. */
const TICKS = 100;

export interface CpuSeconds {
  readonly own: number;
  /** Of all its descendants: the embedded PostgreSQL. */
  readonly children: number;
}

/**
 * CPU time that a process has taken so far; undefined where there is no /proc. On a machine whose speed changes from run to
 * run this says more about the program than requests per second do.
 */
export function cpuSeconds(pid: number): CpuSeconds | undefined {
  const processes = new Map<number, { readonly parent: number; readonly seconds: number }>();
  try {
    for (const name of readdirSync('/proc')) {
      if (!/^\d+$/.test(name)) continue;
      const stat = statOf(Number(name));
      if (stat !== undefined) processes.set(Number(name), stat);
    }
  } catch {
    return undefined; // not Linux
  }
  const own = processes.get(pid);
  if (own === undefined) return undefined;
  let children = 0;
  for (const [id, { seconds }] of processes) if (descends(id)) children += seconds;
  return { own: own.seconds, children };

  function descends(id: number): boolean {
    for (let at = processes.get(id)?.parent; at !== undefined && at > 1; at = processes.get(at)?.parent) if (at === pid) return true;
    return false;
  }
}

function statOf(pid: number): { readonly parent: number; readonly seconds: number } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' '); // from field 3 on: the name may hold spaces
    return { parent: Number(fields[1]), seconds: (Number(fields[11]) + Number(fields[12])) / TICKS };
  } catch {
    return undefined; // it ended meanwhile
  }
}
