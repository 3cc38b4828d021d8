use std::path::Path;

use super::*;

fn limits(states_bytes: u64) -> Limits {
    Limits { states_bytes, ..Limits::default() }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn new(owner: &str) -> NewState {
    let (owner, fingerprint, model) = (owner.to_owned(), "f".to_owned(), "m".to_owned());
    NewState { owner, fingerprint, model, name: None, pinned: false, position: 3, drawn: 1 }
}

fn files(folder: &Path) -> usize {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.starts_with("states.sqlite") && name != ".percept").count()
}

#[test]
fn what_is_kept_comes_back_after_a_restart_and_is_its_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("new/states");
    let states = States::open(Some(&folder), &limits(100)).unwrap();
    let record = states.insert(NewState { name: Some("n".into()), ..new("a") }, b"tensors", at(5)).unwrap();
    assert_eq!((record.bytes, record.created, record.position, record.drawn), (7, at(5), 3, 1));
    assert!(matches!(states.get(&record.id, "b", at(6)), Err(StateError::Unknown)));
    assert!(matches!(states.load(&record.id, "", at(6)), Err(StateError::Unknown)));
    assert!(matches!(states.delete(&record.id, "b", at(6)), Err(StateError::Unknown)));
    // Nobody else may open the folder meanwhile.
    let fault = States::open(Some(&folder), &limits(100)).unwrap_err();
    assert!(fault.to_string().starts_with("another server keeps its states in "), "{fault}");
    drop(states);
    let states = States::open(Some(&folder), &limits(100)).unwrap();
    assert_eq!(states.get(&record.id, "a", at(7)).unwrap(), record);
    let (used, bytes) = states.load(&record.id, "a", at(8)).unwrap();
    assert_eq!((used.used, bytes.as_slice(), states.numbers.states.get()), (at(8), &b"tensors"[..], 1));
    let fork = states.fork(&record.id, "a", NamedState { name: Some("f".into()), pinned: Some(true) }, at(9)).unwrap();
    assert_eq!((fork.name.as_deref(), fork.pinned, fork.drawn), (Some("f"), true, 1));
    states.delete(&record.id, "a", at(9)).unwrap();
    assert_eq!(states.load(&fork.id, "a", at(9)).unwrap().1, b"tensors");
    assert_eq!(files(&folder), 1);
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&folder.metadata().unwrap().permissions()) & 0o777, 0o700);
}

#[test]
fn the_least_recently_used_make_place_and_the_pinned_stay() {
    let folder = tempfile::tempdir().unwrap();
    let states = States::open(Some(folder.path()), &limits(30)).unwrap();
    let keep = |pinned: bool, now: u64| states.insert(NewState { pinned, ..new("a") }, &[0; 10], at(now)).unwrap().id;
    let [pinned, old, used] = [keep(true, 1), keep(false, 2), keep(false, 3)];
    states.load(&old, "a", at(4)).unwrap();
    // Of another owner, too: the room is the server's.
    let more = states.insert(new("b"), &[0; 10], at(5)).unwrap().id;
    assert!(matches!(states.get(&used, "a", at(5)), Err(StateError::Unknown)));
    let is_there = |id, owner| states.get(id, owner, at(6)).is_ok();
    assert!(is_there(&pinned, "a") && is_there(&old, "a") && is_there(&more, "b"));
    // One that can't fit takes nobody's place.
    assert!(matches!(states.insert(new("a"), &[0; 21], at(7)), Err(StateError::NoRoom(_))));
    assert!(is_there(&old, "a") && is_there(&more, "b"));
    states.insert(new("a"), &[0; 20], at(8)).unwrap();
    assert!(is_there(&pinned, "a") && !is_there(&old, "a") && !is_there(&more, "b"));
    let numbers = &states.numbers;
    assert_eq!([numbers.evicted.get(), numbers.states.get(), numbers.bytes.get()], [3, 2, 30]);
    assert_eq!(files(folder.path()), 2);
}

#[test]
fn what_nobody_uses_goes_in_time_unless_it_is_pinned() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { states_ttl: Some(at(10)), ..limits(100) };
    let states = States::open(Some(folder.path()), &limits).unwrap();
    let [first, second, third] = [0, 1, 2].map(|now| states.insert(new("a"), b"x", at(now)).unwrap());
    let pin = NamedState { pinned: Some(true), ..NamedState::default() };
    assert_eq!(states.expires(&first), Some(at(10)));
    let pinned = states.change(&first.id, "a", pin, at(3)).unwrap();
    assert_eq!((states.expires(&pinned), pinned.used), (None, at(3)));
    states.load(&third.id, "a", at(8)).unwrap();
    let (all, more) = states.list(Listing { owner: "a".into(), limit: 9, ..Listing::default() }, at(11)).unwrap();
    let ids: Vec<&StateId> = all.iter().map(|record| &record.id).collect();
    assert_eq!((ids, more), (vec![&third.id, &first.id], false));
    assert!(matches!(states.get(&second.id, "a", at(11)), Err(StateError::Unknown)));
    assert_eq!((states.numbers.expired.get(), files(folder.path())), (1, 2));
}

#[test]
fn a_client_at_its_limit_makes_place_itself() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { states_bytes_each: Some(25), ..limits(40) };
    let states = States::open(Some(folder.path()), &limits).unwrap();
    let keep = |owner: &str, pinned: bool, now: u64| {
        states.insert(NewState { pinned, ..new(owner) }, &[0; 10], at(now)).map(|record| record.id)
    };
    let other = keep("b", false, 1).unwrap();
    let [first, second, third] = [2, 3, 4].map(|now| keep("a", false, now).unwrap());
    let is_there = |id, owner| states.get(id, owner, at(5)).is_ok();
    // There was room for all four: only its own limit is reached.
    assert_eq!([&first, &second, &third].map(|id| is_there(id, "a")), [false, true, true]);
    assert!(is_there(&other, "b"));
    // What it has pinned leaves no room to itself, and all of it to others.
    for id in [&second, &third] {
        states.change(id, "a", NamedState { name: None, pinned: Some(true) }, at(6)).unwrap();
    }
    let refused = keep("a", false, 7).unwrap_err();
    let said = "a state of 10 bytes does not fit beside those that are pinned: 25 bytes of each client are kept";
    assert!(matches!(refused, StateError::NoRoom(why) if why == said));
    keep("b", false, 8).unwrap();
    assert!(is_there(&other, "b"));
}

#[test]
fn a_list_goes_on_after_its_last_state() {
    let folder = tempfile::tempdir().unwrap();
    let states = States::open(Some(folder.path()), &limits(100)).unwrap();
    let ids: Vec<StateId> = (0..5).map(|_| states.insert(new("a"), b"x", at(1)).unwrap().id).collect();
    let other = states.insert(NewState { fingerprint: "g".into(), ..new("a") }, b"x", at(1)).unwrap().id;
    states.insert(new("b"), b"x", at(1)).unwrap();
    let list = |fingerprint: Option<&str>, after: Option<&StateId>| {
        let fingerprint = fingerprint.map(str::to_owned);
        let listing = Listing { owner: "a".into(), fingerprint, after: after.cloned(), limit: 2 };
        let (records, more) = states.list(listing, at(1)).unwrap();
        (records.into_iter().map(|record| record.id).collect::<Vec<_>>(), more)
    };
    assert_eq!(list(None, None), (vec![other, ids[4].clone()], true));
    assert_eq!(list(Some("f"), None), (vec![ids[4].clone(), ids[3].clone()], true));
    assert_eq!(list(None, Some(&ids[2])), (vec![ids[1].clone(), ids[0].clone()], false));
    assert_eq!(list(None, Some(&ids[0])), (vec![], false));
}

#[test]
fn a_full_disk_says_so_and_leaves_all_else() {
    let folder = tempfile::tempdir().unwrap();
    let mut states = States::open(Some(folder.path()), &limits(100)).unwrap();
    let kept = states.insert(new("a"), b"kept", at(1)).unwrap();
    for kind in [std::io::ErrorKind::StorageFull, std::io::ErrorKind::QuotaExceeded] {
        states.write = match kind {
            std::io::ErrorKind::StorageFull => {
                |path, _| Err(std::io::Error::from(std::io::ErrorKind::StorageFull)).at("write", path)
            }
            _ => |path, _| Err(std::io::Error::from(std::io::ErrorKind::QuotaExceeded)).at("write", path),
        };
        assert!(matches!(states.insert(new("a"), &[0; 90], at(2)), Err(StateError::NoRoom(_))));
    }
    states.write = |path, _| Err(std::io::Error::from(std::io::ErrorKind::PermissionDenied)).at("write", path);
    assert!(matches!(states.insert(new("a"), &[0; 90], at(2)), Err(StateError::Fault(_))));
    assert_eq!((states.load(&kept.id, "a", at(3)).unwrap().1, files(folder.path())), (b"kept".to_vec(), 1));
    // What failed takes no room.
    states.write = percept_files::write_file;
    states.insert(new("a"), &[0; 96], at(4)).unwrap();
    assert!(states.get(&kept.id, "a", at(4)).is_ok());
}

#[test]
fn what_a_killed_process_left_is_removed_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let states = States::open(Some(folder.path()), &limits(100)).unwrap();
    let [whole, cut, gone] = [1, 2, 3].map(|now| states.insert(new("a"), b"tensors", at(now)).unwrap().id);
    drop(states);
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path(&cut.file()), b"ten").unwrap();
    std::fs::remove_file(path(&gone.file())).unwrap();
    let orphan = StateId::of_random([7; StateId::BYTES]);
    for name in [&orphan.file(), ".tmp-abc.partial", "notes.txt"] {
        std::fs::write(path(name), b"x").unwrap();
    }
    let states = States::open(Some(folder.path()), &limits(100)).unwrap();
    assert_eq!(states.load(&whole, "a", at(4)).unwrap().1, b"tensors");
    for id in [&cut, &gone, &orphan] {
        assert!(matches!(states.get(id, "a", at(4)), Err(StateError::Unknown)));
    }
    assert!(path("notes.txt").exists() && files(folder.path()) == 2);
}

#[test]
fn a_folder_of_other_things_is_refused_and_a_temporary_one_goes() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("book.txt"), "x").unwrap();
    let fault = States::open(Some(folder.path()), &limits(1)).unwrap_err();
    assert!(fault.is_usage() && fault.to_string().ends_with("holds other things than states"), "{fault}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let states = States::open(None, &limits(9)).unwrap();
    let path = states.path(&states.insert(new(""), b"x", at(1)).unwrap().id);
    assert!(path.exists());
    drop(states);
    assert!(!path.parent().unwrap().exists());
}

/// The states of the test below, for a function that can't capture.
static NESTED: std::sync::OnceLock<States> = std::sync::OnceLock::new();

#[test]
fn what_is_being_written_has_its_room_already() {
    let folder = tempfile::tempdir().unwrap();
    let mut states = States::open(Some(folder.path()), &limits(100)).unwrap();
    states.write = |path, bytes| {
        if bytes.len() == 60 {
            let states = NESTED.get().unwrap();
            assert!(matches!(states.insert(new("a"), &[0; 41], at(1)), Err(StateError::NoRoom(_))));
            states.insert(new("a"), &[0; 40], at(1)).unwrap();
        }
        percept_files::write_file(path, bytes)
    };
    let states = NESTED.get_or_init(|| states);
    states.insert(new("a"), &[0; 60], at(2)).unwrap();
    assert_eq!((states.numbers.states.get(), states.numbers.bytes.get()), (2, 100));
}

#[test]
fn states_can_be_removed_where_the_database_finds_no_room() {
    let folder = tempfile::tempdir().unwrap();
    let states = States::open(Some(folder.path()), &limits(100)).unwrap();
    let id = states.insert(new("a"), b"tensors", at(1)).unwrap().id;
    states.lock().database.set("max_page_count = 1").unwrap();
    let long = NewState { name: Some("n".repeat(100_000)), ..new("a") };
    assert!(matches!(states.insert(long, b"more", at(2)), Err(StateError::NoRoom(_))));
    assert_eq!(files(folder.path()), 1);
    assert!(states.get(&id, "a", at(3)).is_ok());
    // Where its row can't go its file does, and what has no file is not there.
    states.lock().database.set("query_only = ON").unwrap();
    assert!(states.delete(&id, "a", at(3)).is_err());
    assert_eq!(files(folder.path()), 0);
    assert!(matches!(states.load(&id, "a", at(4)), Err(StateError::Unknown)));
}
