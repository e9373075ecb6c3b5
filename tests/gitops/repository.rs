//! A folder as it lies in Git: deploy/example, copied, and changed by commits. There is no git: an engine gets what a commit
//! would hold.

use std::path::{Path, PathBuf};

use super::common::World;
use super::project;

/// The folder of one test.
pub struct Repository {
    dir: PathBuf,
}

impl Repository {
    /// deploy/example as it ships, but for the pause between two restarts, which no test waits for.
    pub fn example(world: &World) -> Self {
        let repository = Self { dir: world.file("repository") };
        std::fs::create_dir_all(&repository.dir).unwrap();
        for entry in std::fs::read_dir(project("deploy/example")).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, repository.dir.join(path.file_name().unwrap())).unwrap();
        }
        repository.edit("password_reset.yaml", "minReadySeconds: 30", "minReadySeconds: 0");
        repository
    }

    /// A folder of this project, which no test changes.
    pub fn shipped(path: &str) -> Self {
        Self { dir: project(path) }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// A commit that replaces a text in a file, which must be there.
    pub fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.dir.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} does not hold {from}");
        std::fs::write(path, text.replace(from, to)).unwrap();
    }

    /// What `kustomize build` makes of the folder.
    pub fn build(&self, world: &World) -> String {
        world.kubectl(&["kustomize", self.dir.to_str().unwrap()])
    }
}
