// The package has this stylesheet in its exports, without types for it.
declare module 'quill-cursors/css';
