import type { Uuid } from '../kernel.ts';

export const userCategory = 'user';

export function userStream(userId: Uuid): string {
  return `${userCategory}-${userId}`;
}
