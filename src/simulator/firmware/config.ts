import type { DeviceConfig } from '../../bridge/protocol/commands.ts';

export const factoryConfig: DeviceConfig = {
  auto_lock_enabled: true,
  auto_lock_delay: 30,
  silent_mode: false,
  led_enabled: true,
  heartbeat_seconds: 60,
};

const rules: Readonly<Record<keyof DeviceConfig, (value: unknown) => boolean>> = {
  auto_lock_enabled: isBoolean,
  auto_lock_delay: (value) => isIntegerIn(value, 5, 600),
  silent_mode: isBoolean,
  led_enabled: isBoolean,
  heartbeat_seconds: (value) => isIntegerIn(value, 30, 120),
};

const MAX_NAMED = 16;
const MAX_NAME = 40;

/** What is unknown or out of range keeps its old value and is named. */
export function mergeConfig(old: DeviceConfig, wanted: Readonly<Record<string, unknown>>): { readonly config: DeviceConfig; readonly rejected: readonly string[] } {
  const accepted: Record<string, unknown> = {};
  const rejected: string[] = [];
  for (const [name, value] of Object.entries(wanted)) {
    if (Object.hasOwn(rules, name) && rules[name as keyof DeviceConfig](value)) accepted[name] = value;
    else rejected.push(name.slice(0, MAX_NAME));
  }
  return { config: { ...old, ...accepted }, rejected: rejected.slice(0, MAX_NAMED) };
}

function isBoolean(value: unknown): boolean {
  return typeof value === 'boolean';
}

function isIntegerIn(value: unknown, min: number, max: number): boolean {
  return Number.isInteger(value) && (value as number) >= min && (value as number) <= max;
}
