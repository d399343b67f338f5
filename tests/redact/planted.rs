//! What was planted in texts of developers and clinics and got through once, and what was masked
//! there without a reason.

use super::is_left;

/// Who logs in is somebody, but for the accounts that systems bring along.
#[test]
fn logins_are_found_and_accounts_are_left() {
    is_left(&[
        ("user=zquorv ok", "user=[ID] ok"),
        ("username: zquorv\nrest", "username: [ID]\nrest"),
        ("ls /home/zquorv/src; /Users/zquorv", "ls /home/[ID]/src; /Users/[ID]"),
        ("C:\\Users\\zquorv\\a, C:\\Users\\Zyx Quorv\\b", "C:\\Users\\[ID]\\a, C:\\Users\\[ID]\\b"),
        ("file:///C:/Users/zquorv/x", "file:///C:/Users/[ID]/x"),
        (".claude/projects/-Users-zquorv-work/x", ".claude/projects/-Users-[ID]-work/x"),
        ("ssh zquorv@box; zquorv@box:~$ id", "ssh [ID]@box; [ID]@box:~$ id"),
        ("uid=1000(zquorv) groups", "uid=1000([ID]) groups"),
        ("session opened for user zquorv(uid=0)", "session opened for user [ID](uid=0)"),
        (
            "Failed password for invalid user zquorv from",
            "Failed password for invalid user [ID] from",
        ),
        // Told once, known again.
        (
            "/home/zquorv/a\n-rw-r--r-- 1 zquorv staff 5 a",
            "/home/[ID]/a\n-rw-r--r-- 1 [NAME] staff 5 a",
        ),
        (
            r#"{"login":"zquorv","owner":"bpatel9","created_by":"mqross","uid":"zquorv"}"#,
            r#"{"login":"[ID]","owner":"[ID]","created_by":"[ID]","uid":"[ID]"}"#,
        ),
    ]);
    let left = [
        "user=root username: ubuntu owner=etl_svc /home/runner/w /Users/Shared/x C:\\Users\\Public\\x",
        r#"{"login":"admin","owner":"postgres","uid":1000,"author":"","user":"billing-team"}"#,
        "/home/about, @/home/HomePage, ../home/utils, GET /users/search",
        "user = get_user(x); author = book.author; def f(user=None, owner=self.owner)",
        "fn login(user: String, owner: Owner) { author: String }\nlet token: AuthToken;",
        "interface A { username: string; user: User; city: City; name: FullName | null }",
        "User: fix the bug, please\nOwner: platform",
    ];
    is_left(&left.map(|text| (text, text)));
}
