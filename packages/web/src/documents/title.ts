/** The longest title that can be typed here, in UTF-16 code units. */
export const TITLE_LENGTH_MAX = 200;
