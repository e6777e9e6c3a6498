//! The text of `help` in the sftp shell.

pub const TEXT: &str = "\
bye, exit, quit                     end
cd [PATH]                           change the remote directory
chgrp [-h] GID PATH                 change the group
chmod [-h] MODE PATH                change permissions (644 or u+x)
chown [-h] UID PATH                 change the owner
cp, copy FROM TO                    copy a remote file
df [-hi] [PATH]                     show the space of the server
get [-afpR] REMOTE [LOCAL]          fetch files
help, ?                             show this
lcd [PATH]                          change the local directory
lls [ARGUMENTS]                     run ls here
lmkdir PATH                         make a local directory
ln [-s] EXISTING NEW                make a link
lpwd                                show the local directory
ls [-1afhlnrSt] [PATH]              list remote files
lumask MASK                         set the local umask
mkdir PATH                          make a remote directory
progress                            turn the progress meter on or off
put [-afpR] LOCAL [REMOTE]          send files
pwd                                 show the remote directory
reget [-fpR] REMOTE [LOCAL]         go on with an interrupted get
reput [-fpR] LOCAL [REMOTE]         go on with an interrupted put
rename, mv OLD NEW                  rename a remote file
rm PATH                             remove remote files
rmdir PATH                          remove a remote directory
symlink TEXT NEW                    make a symbolic link
version                             show the protocol version
!COMMAND                            run a command here
!                                   start a shell here
";
