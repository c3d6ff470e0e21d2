//! Finds the web application to embed. Where it was not built, a page that says how takes its place,
//! so that the server can be built without Node.

use std::{env, fs, path::PathBuf};

fn main() {
    let built = PathBuf::from("../../packages/web/dist");
    println!("cargo:rerun-if-changed=../../packages/web/dist/index.html");
    println!("cargo:rerun-if-changed=build.rs");
    let folder = match built.canonicalize() {
        Ok(folder) if folder.join("index.html").exists() => folder,
        _ => {
            let out = env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
            let folder = PathBuf::from(out).join("web");
            fs::create_dir_all(&folder).expect("OUT_DIR is writable");
            let page = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Motet</title>\
                        <p>This server was built without the web application. Build it with \
                        <code>make build</code>.</p></html>";
            fs::write(folder.join("index.html"), page).expect("OUT_DIR is writable");
            folder
        }
    };
    println!("cargo:rustc-env=MOTET_WEB_DIST={}", folder.display());
}
