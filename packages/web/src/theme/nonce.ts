import { setNonce } from 'get-nonce';

/**
 * The nonce that style elements need to have an effect. It is a property: browsers hide the attribute
 * from scripts that would read it out of the markup.
 */
export function styleNonce(): string {
  return document.querySelector<HTMLMetaElement>('meta[property="csp-nonce"]')?.nonce ?? '';
}

// What keeps the page from scrolling behind a dialog asks here.
setNonce(styleNonce());
