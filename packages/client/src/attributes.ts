/** A JSON value. */
export type Json =
  | null
  | boolean
  | number
  | string
  | readonly Json[]
  | { readonly [name: string]: Json };

/** The format of an operation. In a change `null` removes the attribute. */
export type Attributes = { readonly [name: string]: Json };

/** Whether two JSON values are the same. */
export function equal(a: Json | undefined, b: Json | undefined): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    return (
      Array.isArray(a) &&
      Array.isArray(b) &&
      a.length === b.length &&
      a.every((item, index) => equal(item, b[index]))
    );
  }
  const [left, right] = [a as Attributes, b as Attributes];
  const names = Object.keys(left);
  return (
    names.length === Object.keys(right).length &&
    names.every((name) => Object.hasOwn(right, name) && equal(left[name], right[name]))
  );
}

/**
 * These attributes, and then `next`. With `keepNull` one that `next` removes stays as `null`: right for
 * a change of text that is not here.
 */
export function compose(
  attributes: Attributes | undefined,
  next: Attributes | undefined,
  keepNull: boolean,
): Attributes | undefined {
  if (!next) return attributes;
  const kept = Object.entries(attributes ?? {}).filter(([name]) => !Object.hasOwn(next, name));
  const set = Object.entries(next).filter(([, value]) => keepNull || value !== null);
  return some([...kept, ...set]);
}

/** `other` after `attributes` were applied; where both set one, `first` says that `attributes` win. */
export function transform(
  attributes: Attributes | undefined,
  other: Attributes | undefined,
  first: boolean,
): Attributes | undefined {
  if (!first || !attributes || !other) return other;
  return some(Object.entries(other).filter(([name]) => !Object.hasOwn(attributes, name)));
}

/**
 * What takes `attributes` back on text that had `base`. As in quill-delta, values that are objects or
 * lists are set again even where they are the same.
 */
export function invert(
  attributes: Attributes | undefined,
  base: Attributes | undefined,
): Attributes | undefined {
  const inverted: [name: string, value: Json][] = [];
  for (const [name, value] of Object.entries(attributes ?? {})) {
    const before = base && Object.hasOwn(base, name) ? base[name] : undefined;
    if (before === undefined) inverted.push([name, null]);
    else if (before !== value || (before !== null && typeof before === 'object'))
      inverted.push([name, before]);
  }
  return some(inverted);
}

/** Not by assignment: any text names an attribute, and assigning to `__proto__` sets none. */
function some(entries: [name: string, value: Json][]): Attributes | undefined {
  return entries.length > 0 ? Object.fromEntries(entries) : undefined;
}
