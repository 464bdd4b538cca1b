import { raw, type Html } from './html.ts';

const shapes = {
  box: '<path d="M4 8.5 12 4l8 4.5v7L12 20l-8-4.5zM4 8.5l8 4.5 8-4.5M12 13v7"/>',
  locked: '<rect x="5" y="11" width="14" height="9" rx="2"/><path d="M8 11V8a4 4 0 0 1 8 0v3"/>',
  unlocked: '<rect x="5" y="11" width="14" height="9" rx="2"/><path d="M8 11V8a4 4 0 0 1 7.7-1.5"/>',
  done: '<path d="m5 12.5 4.5 4.5L19 7.5"/>',
  failed: '<path d="m7 7 10 10M17 7 7 17"/>',
  unsure: '<path d="M9 9.2a3 3 0 1 1 4.4 2.7c-.9.5-1.4 1-1.4 2.1M12 17.5v.1"/>',
  warn: '<path d="M12 4 2.8 19.5h18.4zM12 10v4.5M12 17v.1"/>',
  wait: '<circle cx="12" cy="12" r="8.5"/><path d="M12 7.5V12l3 2"/>',
  place: '<path d="M12 21s6.5-5.6 6.5-11a6.5 6.5 0 0 0-13 0c0 5.4 6.5 11 6.5 11z"/><circle cx="12" cy="10" r="2.3"/>',
} as const;

export type Icon = keyof typeof shapes;

/** A picture beside words that say the same: nothing to be read out. */
export function icon(name: Icon): Html {
  return raw(`<svg viewBox="0 0 24 24" aria-hidden="true">${shapes[name]}</svg>`);
}
