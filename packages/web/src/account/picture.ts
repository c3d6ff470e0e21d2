/** How wide and high pictures of people are, in pixels. */
export const PICTURE_PX = 256;

/** What a picture may be made from. Never SVG: that is a document with scripts, not a picture. */
export const PICTURE_TYPES = ['image/png', 'image/jpeg', 'image/webp'];

/**
 * The middle of the picture in `file`, as a square of [PICTURE_PX]. It is drawn anew, so that nothing of
 * the file but what can be seen is left: no place, no camera, no remarks.
 *
 * Rejects with a sentence for the user.
 */
export async function squarePicture(file: File): Promise<Blob> {
  if (!PICTURE_TYPES.includes(file.type)) {
    throw new Error('Choose a picture in the format PNG, JPEG or WebP.');
  }
  const bitmap = await createImageBitmap(file).catch(() => {
    throw new Error('This file cannot be read as a picture.');
  });
  const canvas = document.createElement('canvas');
  canvas.width = PICTURE_PX;
  canvas.height = PICTURE_PX;
  const side = Math.min(bitmap.width, bitmap.height);
  const context = canvas.getContext('2d');
  if (!context) throw new Error('This browser cannot draw pictures.');
  context.imageSmoothingQuality = 'high';
  const left = (bitmap.width - side) / 2;
  const top = (bitmap.height - side) / 2;
  context.drawImage(bitmap, left, top, side, side, 0, 0, PICTURE_PX, PICTURE_PX);
  bitmap.close();
  return new Promise((resolve, reject) => {
    // Browsers that cannot write WebP give PNG.
    canvas.toBlob(
      (blob) => (blob ? resolve(blob) : reject(new Error('The picture could not be made.'))),
      'image/webp',
      0.9,
    );
  });
}
