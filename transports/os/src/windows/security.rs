//! Access rights: security descriptors for our objects, and checks of other processes' objects.

use std::ffi::c_void;
use std::io;
use std::mem::offset_of;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr;
use std::sync::OnceLock;

use windows_sys::Win32::Foundation::{ERROR_SUCCESS, HANDLE, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    ConvertSidToStringSidW, ConvertStringSecurityDescriptorToSecurityDescriptorW, GetSecurityInfo,
    SDDL_REVISION_1, SE_FILE_OBJECT, SE_KERNEL_OBJECT, SE_OBJECT_TYPE,
};
use windows_sys::Win32::Security::{
    ACCESS_ALLOWED_ACE, ACE_HEADER, ACL, DACL_SECURITY_INFORMATION, EqualSid, GetAce,
    GetTokenInformation, IsWellKnownSid, OWNER_SECURITY_INFORMATION, PSECURITY_DESCRIPTOR, PSID,
    SECURITY_ATTRIBUTES, TOKEN_QUERY, TOKEN_USER, TokenUser, WinBuiltinAdministratorsSid,
    WinCreatorOwnerRightsSid, WinCreatorOwnerSid, WinLocalSystemSid,
};
use windows_sys::Win32::System::SystemServices::{ACCESS_ALLOWED_ACE_TYPE, ACCESS_DENIED_ACE_TYPE};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

/// This process's user, as the system keeps it in memory.
#[derive(Debug)]
struct User {
    /// A `TOKEN_USER` and the identifier it points to, aligned for both.
    token: Box<[u64]>,
    text: String,
}

// SAFETY: the pointer inside the token means the same allocation, which never changes.
unsafe impl Send for User {}
// SAFETY: as above: it is only read.
unsafe impl Sync for User {}

impl User {
    fn get() -> io::Result<&'static Self> {
        static USER: OnceLock<User> = OnceLock::new();
        match USER.get() {
            Some(user) => Ok(user),
            None => Self::ask().map(|user| USER.get_or_init(|| user)),
        }
    }

    fn ask() -> io::Result<Self> {
        let mut raw = ptr::null_mut();
        // SAFETY: the pseudo handle of this process is always good, and `raw` is ours to write.
        if unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &mut raw) } == 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: opened just now, and this is its only owner.
        let process = unsafe { OwnedHandle::from_raw_handle(raw) };
        // An identifier has at most 68 bytes, a `TOKEN_USER` 16.
        let mut token = vec![0_u64; 32].into_boxed_slice();
        let (room, mut used) = (size_of_val(&*token) as u32, 0);
        // SAFETY: the buffer has `room` bytes, and is aligned for a `TOKEN_USER`.
        let done = unsafe {
            GetTokenInformation(
                process.as_raw_handle(),
                TokenUser,
                token.as_mut_ptr().cast(),
                room,
                &mut used,
            )
        };
        if done == 0 {
            return Err(io::Error::last_os_error());
        }
        let mut user = Self { token, text: String::new() };
        let mut text = ptr::null_mut();
        // SAFETY: the identifier came from the system just now; `text` is ours to write.
        if unsafe { ConvertSidToStringSidW(user.sid(), &mut text) } == 0 {
            return Err(io::Error::last_os_error());
        }
        let mut len = 0;
        // SAFETY: the system made a text with a NUL at its end, which is freed once, after it was
        // copied.
        unsafe {
            while *text.add(len) != 0 {
                len += 1;
            }
            user.text = String::from_utf16_lossy(std::slice::from_raw_parts(text, len));
            LocalFree(text.cast());
        }
        Ok(user)
    }

    fn sid(&self) -> PSID {
        // SAFETY: `ask` had the system write a `TOKEN_USER` here, and the buffer is aligned for it.
        unsafe { (*self.token.as_ptr().cast::<TOKEN_USER>()).User.Sid }
    }
}

/// This process's user in text: `S-1-5-21-…`.
pub(super) fn user_text() -> io::Result<&'static str> {
    User::get().map(|user| user.text.as_str())
}

/// The descriptor of our objects: it belongs to this user, and no other user may do anything with
/// it.
#[derive(Debug)]
pub(super) struct Private(PSECURITY_DESCRIPTOR);

impl Private {
    /// What is made inside a directory is the same.
    pub(super) fn new() -> io::Result<Self> {
        let user = user_text()?;
        let text: Vec<u16> = format!("O:{user}D:P(A;OICI;GA;;;{user})\0").encode_utf16().collect();
        let mut descriptor = ptr::null_mut();
        // SAFETY: the text ends with a NUL, and `descriptor` is ours to write.
        let done = unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                text.as_ptr(),
                SDDL_REVISION_1,
                &mut descriptor,
                ptr::null_mut(),
            )
        };
        if done == 0 { Err(io::Error::last_os_error()) } else { Ok(Self(descriptor)) }
    }

    /// For a call that makes an object. Valid while `self` lives.
    pub(super) fn attributes(&self) -> SECURITY_ATTRIBUTES {
        SECURITY_ATTRIBUTES {
            nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
            lpSecurityDescriptor: self.0,
            bInheritHandle: 0,
        }
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        // SAFETY: the system allocated it for us, and it is freed only here.
        unsafe { LocalFree(self.0) };
    }
}

/// The owner of an object, and which other users may reach it. The system and the machine's
/// administrators count as this user: they can do what they like anyway.
#[derive(Debug, Clone, Copy)]
pub(super) struct Access {
    /// It belongs to this user.
    pub(super) ours: bool,
    /// No other user may do anything with it.
    pub(super) private: bool,
}

/// Looks at an open file or directory.
pub(super) fn of_file(file: &impl AsRawHandle) -> io::Result<Access> {
    look(file.as_raw_handle(), SE_FILE_OBJECT)
}

/// Looks at an open pipe or event.
pub(super) fn of_object(object: &impl AsRawHandle) -> io::Result<Access> {
    look(object.as_raw_handle(), SE_KERNEL_OBJECT)
}

fn look(handle: HANDLE, kind: SE_OBJECT_TYPE) -> io::Result<Access> {
    let user = User::get()?;
    let what = OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION;
    let (mut owner, mut list, mut descriptor) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
    // SAFETY: the handle is open for the call, and the places are ours to write.
    let code = unsafe {
        GetSecurityInfo(
            handle,
            kind,
            what,
            &mut owner,
            ptr::null_mut(),
            &mut list,
            ptr::null_mut(),
            &mut descriptor,
        )
    };
    if code != ERROR_SUCCESS {
        return Err(io::Error::from_raw_os_error(code as i32));
    }
    // Freed when this ends; owner and list lie in it.
    let _descriptor = Private(descriptor);
    // SAFETY: the system gave the owner and the list, valid as long as the descriptor is.
    unsafe {
        Ok(Access {
            ours: !owner.is_null() && is_trusted(user, owner),
            private: is_private(user, list),
        })
    }
}

/// # Safety
/// `list` is null or a valid list.
unsafe fn is_private(user: &User, list: *const ACL) -> bool {
    // Without a list everyone may do everything.
    if list.is_null() {
        return false;
    }
    // SAFETY: the caller's promise.
    let count = unsafe { (*list).AceCount };
    (0..u32::from(count)).all(|index| {
        let mut entry: *mut c_void = ptr::null_mut();
        // SAFETY: the list is valid, and `entry` ours to write.
        if unsafe { GetAce(list, index, &mut entry) } == 0 {
            return false;
        }
        // SAFETY: every entry begins with a header.
        match u32::from(unsafe { (*entry.cast::<ACE_HEADER>()).AceType }) {
            // SAFETY: an entry of this type has the identifier's first word here, and the rest
            // behind it.
            ACCESS_ALLOWED_ACE_TYPE => unsafe {
                is_trusted(user, entry.byte_add(offset_of!(ACCESS_ALLOWED_ACE, SidStart)))
            },
            // It takes rights away.
            ACCESS_DENIED_ACE_TYPE => true,
            // Another way of giving them.
            _ => false,
        }
    })
}

/// # Safety
/// `sid` is a valid identifier.
unsafe fn is_trusted(user: &User, sid: PSID) -> bool {
    const TRUSTED: [i32; 4] = [
        WinBuiltinAdministratorsSid,
        WinCreatorOwnerRightsSid,
        WinCreatorOwnerSid,
        WinLocalSystemSid,
    ];
    // SAFETY: the caller's promise; the user's own is valid, too.
    unsafe {
        EqualSid(sid, user.sid()) != 0 || TRUSTED.iter().any(|kind| IsWellKnownSid(sid, *kind) != 0)
    }
}
