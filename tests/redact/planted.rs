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

/// A password may be an argument, a part of a statement, a word of a sentence or a cookie.
#[test]
fn secrets_are_found_where_no_field_names_them() {
    let form = |head: &str, length: usize| format!("{head}{}", "a1b2c3d4".repeat(length / 8));
    let issued = [
        form("dop_v1_", 64),
        format!("{}.{}", form("SG.", 24), form("", 40)),
        form("shpat_", 32),
        form("hvs.", 32),
        form("glrt-", 24),
        form("ya29.", 24),
        form("dckr_pat_", 24),
        form("whsec_", 32),
    ];
    is_left(&issued.each_ref().map(|secret| (secret.as_str(), "[SECRET]")));
    is_left(&[
        ("mysql -u root -pquorvix db", "mysql -u root -p[SECRET] db"),
        ("sshpass -p 'quor vix' ssh a@b", "sshpass -p '[SECRET]' ssh a@b"),
        ("curl -u app:quorvix x", "curl -u app:[SECRET] x"),
        ("CREATE USER a IDENTIFIED BY 'quor';", "CREATE USER a IDENTIFIED BY '[SECRET]';"),
        ("CREATE ROLE a WITH PASSWORD 'quor';", "CREATE ROLE a WITH PASSWORD '[SECRET]';"),
        (
            r#"<add key="DbPassword" value="quorvix9"/>"#,
            r#"<add key="DbPassword" value="[SECRET]"/>"#,
        ),
        ("the pwd is quorvix22.", "the pwd is [SECRET]."),
        (
            "Set-Cookie: sid=abc; Path=/; HttpOnly\nCookie: a=b; JSESSIONID=c",
            "Set-Cookie: sid=[SECRET]; Path=/; HttpOnly\nCookie: a=[SECRET]; JSESSIONID=[SECRET]",
        ),
        (r#"{"Cookie":"a=b; sid=c"}"#, r#"{"Cookie":"[SECRET]"}"#),
        ("x;AccountKey=abcd1234ab==;y", "x;AccountKey=[SECRET];y"),
        ("JSESSIONID=0A1B2C3D _csrf=abcdef123456", "JSESSIONID=[SECRET] _csrf=[SECRET]"),
    ]);
    let left = [
        "mkdir -p src/x; ps -p 123; ssh -p 2222 host; docker run -p 80:80; mysql -p db",
        "The password is required; it was stored. A key-value pair, pat-dry, lin_alg.",
        "curl -u $USER:$PASS x | sort -u a:b",
    ];
    is_left(&left.map(|text| (text, text)));
}
