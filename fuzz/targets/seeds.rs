//! Writes the seeds of one target into a folder: seeds TARGET FOLDER

use std::{env, fs, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().collect();
    let [_, target, folder] = arguments.as_slice() else {
        eprintln!("seeds TARGET FOLDER");
        return ExitCode::FAILURE;
    };
    let seeds = motet_fuzz::seeds()
        .into_iter()
        .filter(|(of, _)| of == target);
    for (n, (_, bytes)) in seeds.enumerate() {
        if let Err(error) = fs::write(Path::new(folder).join(format!("seed-{n:03}")), bytes) {
            eprintln!("{folder}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
