import type { Uuid } from '../kernel.ts';

export const userCategory = 'user';

export function userStream(userId: Uuid): string {
  return `${userCategory}-${userId}`;
}

export function userIdOfStream(stream: string): Uuid | undefined {
  return stream.startsWith(`${userCategory}-`) ? stream.slice(userCategory.length + 1) : undefined;
}
