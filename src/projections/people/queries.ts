import type { PeopleQueries, PersonalRow } from '../read-models.ts';
import type { Reader, Schemas } from '../schemas.ts';

const ofSubject = {
  name: 'people.of_subject',
  text: (s: Schemas) => `
    SELECT ref, kind, fields, since FROM ${s['people']}.people
     WHERE subject_id = $1 AND ($2::uuid IS NULL OR ref > $2) ORDER BY ref LIMIT $3`,
};

export function createPeopleQueries(reader: Reader): PeopleQueries {
  return {
    ofSubject: (subject, after, limit) => reader.all<PersonalRow & Record<string, unknown>>(ofSubject, [subject, after ?? null, limit]),
  };
}
